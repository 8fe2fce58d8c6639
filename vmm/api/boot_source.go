package api

import (
	"errors"
	"os"
	"strings"
)

// defaultCommandLine is given to kernels that are given none: Firecracker's.
const defaultCommandLine = "reboot=k panic=1 pci=off nomodule 8250.nr_uarts=0 " +
	"i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"

// maxCommandLineBytes is Firecracker's limit, and that of most kernels.
const maxCommandLineBytes = 2048

// bootSource is the document at /boot-source.
type bootSource struct {
	Kernel string  `json:"kernel_image_path"`
	Initrd *string `json:"initrd_path"`
	Args   *string `json:"boot_args,omitempty"`
}

func (s *Server) putBootSource(r request) error {
	var kernel, initrd, args string
	var hasInitrd, hasArgs bool
	err := decodeBody(r.body,
		field{name: "kernel_image_path", required: true, read: hostPath(&kernel)},
		field{name: "initrd_path", read: optional(&hasInitrd, hostPath(&initrd))},
		field{name: "boot_args", read: optional(&hasArgs, text(&args))})
	if err != nil {
		return err
	}
	source := bootSource{Kernel: kernel}
	if err := canRead(kernel); err != nil {
		return failed("The kernel file cannot be opened", err)
	}
	if hasInitrd {
		source.Initrd = &initrd
		if err := canRead(initrd); err != nil {
			return failed("The initrd file cannot be opened due to invalid path or invalid permissions", err)
		}
	}
	if hasArgs {
		source.Args = &args
		if err := checkCommandLine(args); err != nil {
			return err
		}
	}
	s.config.source, s.config.touched = &source, true
	return nil
}

// commandLine is what the kernel is told.
func (b *bootSource) commandLine() string {
	if b.Args == nil {
		return defaultCommandLine
	}
	return *b.Args
}

// checkCommandLine takes printable ASCII of a length that kernels take.
func checkCommandLine(args string) error {
	if len(args) >= maxCommandLineBytes {
		return refuse("The kernel command line is invalid: it is longer than %d bytes.", maxCommandLineBytes-1)
	}
	if strings.ContainsFunc(args, func(r rune) bool { return r < ' ' || r > '~' }) {
		return refuse("The kernel command line is invalid: it holds a character that is not printable ASCII.")
	}
	return nil
}

// canRead says why a file or block device cannot be read, when it cannot. Its
// path is not part of the error: the client knows it. What is neither is not
// even opened, which can have consequences.
func canRead(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return withoutPath(err)
	}
	if kind := info.Mode().Type(); kind != 0 && kind != os.ModeDevice {
		return errors.New("neither a regular file nor a block device")
	}
	f, err := os.Open(path)
	if err != nil {
		return withoutPath(err)
	}
	return f.Close()
}

// withoutPath strips operation and path from an error of the system.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}
