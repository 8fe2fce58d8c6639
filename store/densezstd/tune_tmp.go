package densezstd

import (
	"os"
	"strconv"
)

func tune(name string, def int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return def
}

var (
	tDepth    = tune("DEPTH", 16)
	tPasses   = tune("PASSES", 2)
	tBlock    = uint64(tune("BLOCK", 12*8))
	tTable    = uint64(tune("TABLE", 4))
	tSym      = uint64(tune("SYM", 3*256))
	tSkip     = tune("SKIP", 7)
	tAtt      = tune("ATT", 8)
	tLazy     = tune("LAZY", 1)
	tRepBonus = tune("REPB", 0)
	tRep3     = tune("REP3", 0)
	tDefer    = tune("DEFER", 3)
	tD        = tune("TD", 0)
	tE        = tune("TE", -1000)
	tNice     = tune("NICE", 256)
	tF        = tune("TF", 0)
	tG        = tune("TG", 0)
	tA        = tune("TA", 3)
	tB        = tune("TB", 40)
	tC        = tune("TC", 0)
)
