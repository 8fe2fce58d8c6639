// Guestinit is the first and only process of the laboratory's Linux guest. It
// holds data in memory and answers lines on the console, in the words of package
// sabrefs/tests/lab/linuxguest.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab/early"
	"sabrefs/tests/lab/linuxguest"
)

// tickInterval is short enough for a test to wait for, and long enough to leave
// the console to the replies.
const tickInterval = time.Second

func main() {
	err := serve()
	// A first process that returns makes the kernel panic. The end is in order
	// only after "off".
	fmt.Println("lab guest:", err)
	fmt.Println("lab guest:", early.End(unix.LINUX_REBOOT_CMD_RESTART))
}

func serve() error {
	if err := early.MountAll(early.Kernel()); err != nil {
		return err
	}
	if err := early.LoadModules(nil); err != nil {
		return err
	}
	console, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := quiet(console); err != nil {
		return err
	}
	memoryMiB, err := wantedMiB()
	if err != nil {
		return err
	}
	s := newServer(console, memoryMiB)
	s.print(linuxguest.Ready(runtime.NumCPU()))
	go s.tick()
	return s.answerAll()
}

// quiet stops the terminal from echoing requests and from changing replies.
func quiet(console *os.File) error {
	state, err := unix.IoctlGetTermios(int(console.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("terminal of the console: %w", err)
	}
	state.Lflag &^= unix.ECHO
	state.Oflag &^= unix.OPOST
	return unix.IoctlSetTermios(int(console.Fd()), unix.TCSETS, state)
}

func wantedMiB() (int, error) {
	commandLine, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return 0, err
	}
	for word := range strings.FieldsSeq(string(commandLine)) {
		if number, found := strings.CutPrefix(word, linuxguest.MemoryOption); found {
			return strconv.Atoi(number)
		}
	}
	return linuxguest.DefaultMiB, nil
}
