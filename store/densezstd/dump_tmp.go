package densezstd

import "fmt"

var Total chunkStats

func Dump() {
	t := &Total
	fmt.Printf("lit %v\nmatch %v\noffset %v\nliterals %v\n", t.codes.lit, t.codes.match, t.codes.offset, t.literals)
}
