package iaa

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
)

type openCase struct {
	engine string
	class  error
}

// TestOpen checks every choice whose outcome is known: if this machine has a device,
// whether it can be used is not.
func TestOpen(t *testing.T) {
	cases := map[string]openCase{
		ChooseSoftware: {engine: "software"},
		ChooseModel:    {engine: "model"},
		"nonsense":     {class: ErrChoice},
	}
	host, err := SelectedHost(ChooseAuto)
	wantNoError(t, err)
	if len(Discover(host).Devices) == 0 {
		cases[""], cases[ChooseAuto] = openCase{engine: "software"}, openCase{engine: "software"}
		cases[ChooseDevice] = openCase{class: ErrNoDevice}
	}
	for choice, want := range cases {
		var log bytes.Buffer
		engine, err := Open(choice, slog.New(slog.NewTextHandler(&log, nil)))
		if !errors.Is(err, want.class) {
			t.Errorf("%q: the error is %v", choice, err)
		}
		if want.class != nil {
			continue
		}
		if engine.Name() != want.engine || Accelerated(engine) != (want.engine == "model") || log.Len() > 0 {
			t.Errorf("%q: the engine is %s, accelerated %v, and says %q", choice, engine.Name(), Accelerated(engine), &log)
		}
		raw := text(1, 3000)
		jobs := []Job{{Src: compressed(t, raw), Dst: make([]byte, len(raw))}}
		wantNoError(t, engine.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, [][]byte{raw})
		wantNoError(t, engine.Close())
	}
}

// TestDefault checks that the process has one engine.
func TestDefault(t *testing.T) {
	first := Default()
	if Default() != first {
		t.Error("a second engine was opened")
	}
	if engine, ok := Opened(); !ok || engine != first {
		t.Errorf("opened is %v, %v", engine, ok)
	}
}
