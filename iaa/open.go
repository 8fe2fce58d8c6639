package iaa

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"sabrefs/iaa/model"
	"sabrefs/iaa/portal"
)

// EngineVariable names the environment variable that chooses the engine of
// [Default]: one of the choices below; unset means ChooseAuto.
const EngineVariable = "SABREFS_IAA"

// The choices of an engine.
const (
	ChooseAuto     = "auto"     // the device where one can be used, else software
	ChooseSoftware = "software" // without looking for a device
	ChooseDevice   = "device"   // as ChooseAuto, but says so if there is none
	ChooseModel    = "model"    // a software model of the device, for developers
)

// ErrChoice is returned for a choice of engine that does not exist.
var ErrChoice = errors.New("unknown engine, expected auto, software, device or model")

// Default returns the engine of this process, which EngineVariable chooses. The
// first call opens it; it is never closed. If a device is there but cannot be
// used, or the variable makes no sense, the log says so once, and why, and
// software does the work.
func Default() Engine { return openDefault() }

// opened is what Default returned, once it was called.
var opened atomic.Pointer[Engine]

var openDefault = sync.OnceValue(func() Engine {
	engine, err := Open(os.Getenv(EngineVariable), slog.Default())
	if err != nil {
		slog.Default().Warn("DEFLATE is decoded in software", "reason", err)
		engine = Software()
	}
	opened.Store(&engine)
	return engine
})

// Opened returns the engine of Default if anything has asked for it.
func Opened() (Engine, bool) {
	engine := opened.Load()
	if engine == nil {
		return nil, false
	}
	return *engine, true
}

// Open returns the engine of a choice; "" is ChooseAuto. ChooseAuto falls back
// to software without an error if there is no device at all; otherwise the error
// says why the device that was chosen, or that is there, cannot be used.
func Open(choice string, logger *slog.Logger) (Engine, error) {
	if choice == ChooseSoftware {
		return Software(), nil
	}
	host, err := SelectedHost(choice)
	if err != nil {
		return nil, err
	}
	name := ChooseDevice
	if choice == ChooseModel {
		name = ChooseModel
	}
	if choice == "" || choice == ChooseAuto {
		if report := Discover(host); len(report.Devices) == 0 {
			return Software(), nil
		}
	}
	engine, _, err := OpenDevice(host, Software(), DeviceOptions{Name: name, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("opening the accelerator: %w", err)
	}
	return engine, nil
}

// SelectedHost returns where a choice of engine looks for devices: this machine,
// or a modeled one, which is made for each call.
func SelectedHost(choice string) (portal.Host, error) {
	switch choice {
	case "", ChooseAuto, ChooseSoftware, ChooseDevice:
		return portal.System(), nil
	case ChooseModel:
		return model.NewHost(model.Config{})
	default:
		return nil, fmt.Errorf("%s=%s: %w", EngineVariable, choice, ErrChoice)
	}
}

// Accelerated reports whether an engine is a device, or the model of one: what is
// packed for this host is then best packed as DEFLATE.
func Accelerated(engine Engine) bool {
	_, ok := engine.(*device)
	return ok
}
