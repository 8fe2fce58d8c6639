//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sabrefs/vmm"
	"sabrefs/vmm/guest"
)

const (
	// defaultVMBytes suits a small Linux and the built-in guest.
	defaultVMBytes = 128 << 20
	// typedCommandLine has the built-in guest send back what is typed, which a
	// terminal that passes every key does not show by itself.
	typedCommandLine = "echo"
	// linuxCommandLine: console on the serial port; the guest ends the machine by
	// its keyboard controller, and looks for no devices that are not there.
	linuxCommandLine = "console=ttyS0 reboot=k panic=1 pci=off"
)

// vmRunFlags are the options of vm run.
type vmRunFlags struct {
	vmSessionFlags
	kernel    string
	flat      string
	builtin   bool
	initrd    string
	cmdline   string
	memory    byteSize
	cpus      int
	drives    driveSpecs
	noSeccomp bool
}

func newVMRunCommand() *cobra.Command {
	flags := vmRunFlags{memory: defaultVMBytes}
	cmd := &cobra.Command{
		Use:   "run [--kernel FILE | --flat FILE | --builtin-guest] [--api-sock SOCKET]",
		Short: "Start a machine",
		Long: `Start a machine with a kernel, a bzImage or a vmlinux (ELF); with a flat image of
64-bit code, which is loaded at 1 MiB and entered at its first byte as a kernel would be;
or with the guest that is part of this program and answers "help". Its serial console is on standard input and output; on a terminal, Ctrl-A x ends
the machine. The command ends with the guest: exit code 0 if it shut down, 13 if it
crashed.

With --api-sock, clients control the machine by Firecracker's API; without a kernel they
also say what to start. Started under the name firecracker, the program takes
Firecracker's arguments: a client that starts Firecracker can be given it in its place.

With --json, a line on standard error says at the end when the machine had reached its
first instruction and its first output, in milliseconds.`,
		Example: `  sabrefs vm run --builtin-guest
  sabrefs vm run --kernel vmlinuz --initrd initrd.img --memory 256M --cpus 2
  sabrefs vm run --kernel vmlinuz --drive path=root.img,root --cmdline "console=ttyS0 reboot=k root=/dev/vda"
  sabrefs vm run --api-sock /run/vm.sock`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(cmd.Flags().Changed("cmdline")); err != nil {
				return usageError{err}
			}
			return flags.inSession(cmd.OutOrStdout(), cmd.ErrOrStderr(), func(s *vmSession) error {
				return s.start(cmd.Context(), flags)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (flags *vmRunFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	flags.vmSessionFlags.add(f)
	f.StringVar(&flags.kernel, "kernel", "", "kernel: bzImage or vmlinux")
	f.StringVar(&flags.flat, "flat", "", "flat image of 64-bit code")
	f.BoolVar(&flags.builtin, "builtin-guest", false, "start the guest that is part of this program")
	f.StringVar(&flags.initrd, "initrd", "", "initial RAM disk")
	f.StringVar(&flags.cmdline, "cmdline", "", fmt.Sprintf("kernel command line (default for --kernel: %q)", linuxCommandLine))
	f.Var(&flags.memory, "memory", "memory of the machine")
	f.IntVar(&flags.cpus, "cpus", 1, "number of processors")
	f.Var(&flags.drives, "drive", "block device: path=FILE[,id=NAME][,readonly][,root]; may be repeated")
	// Firecracker's clients pass it; there is no filter that could be left out.
	f.BoolVar(&flags.noSeccomp, "no-seccomp", false, "accepted for Firecracker's clients; without meaning")
	if err := f.MarkHidden("no-seccomp"); err != nil {
		panic(err) //nolint:forbidigo // the flag is defined in the line above
	}
}

// check refuses flags that do not go together, and sets the default command line.
func (flags *vmRunFlags) check(cmdlineGiven bool) error {
	given := flags.given()
	switch {
	case given > 1:
		return errors.New("--kernel, --flat and --builtin-guest: expected one of them")
	case given == 0 && flags.socket == "":
		return errors.New("expected --kernel, --flat, --builtin-guest or --api-sock")
	case given == 0 && (flags.initrd != "" || cmdlineGiven || len(flags.drives) > 0):
		return errors.New("--initrd, --cmdline and --drive need something to start; clients of the socket say what otherwise")
	case !cmdlineGiven && flags.builtin && term.IsTerminal(int(os.Stdin.Fd())):
		flags.cmdline = typedCommandLine
	case !cmdlineGiven && flags.kernel != "":
		flags.cmdline = linuxCommandLine
	}
	return nil
}

// given counts what there is to start; more than one is a mistake.
func (flags *vmRunFlags) given() (count int) {
	for _, is := range []bool{flags.kernel != "", flags.flat != "", flags.builtin} {
		if is {
			count++
		}
	}
	return count
}

// start makes and starts the machine of the flags, if they describe one, and runs it.
func (s *vmSession) start(ctx context.Context, flags vmRunFlags) error {
	if flags.given() > 0 {
		config, err := flags.config()
		if err != nil {
			return err
		}
		m, err := s.create(ctx, config)
		if err != nil {
			return err
		}
		if err := m.Start(); err != nil {
			return err
		}
	}
	return s.run(ctx, flags.socket, flags.id)
}

// config is the machine that the flags describe.
func (flags *vmRunFlags) config() (config vmm.Config, err error) {
	config = vmm.Config{MemoryBytes: int64(flags.memory), VCPUCount: flags.cpus, TrackDirtyPages: flags.trackDirty, HugePages: flags.hugePages,
		Kernel: flags.kernel, Initrd: flags.initrd, CommandLine: flags.cmdline}
	if flags.builtin {
		config.Flat = guest.Image()
	}
	for _, d := range flags.drives {
		config.Drives = append(config.Drives, vmm.Drive{ID: d.id, Path: d.path, ReadOnly: d.readOnly, Root: d.root})
	}
	if flags.flat != "" {
		config.Flat, err = readFlatImage(flags.flat)
	}
	return config, err
}

// maxFlatBytes is far beyond any program without a kernel.
const maxFlatBytes = 64 << 20

func readFlatImage(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	image, err := io.ReadAll(io.LimitReader(file, maxFlatBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the flat image: %w", err)
	case len(image) == 0 || len(image) > maxFlatBytes:
		return nil, usageError{fmt.Errorf("%s: a flat image has 1 byte to %s", path, humanBytes(maxFlatBytes))}
	}
	return image, nil
}
