package early

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ModulesDir holds an initramfs's modules.
const ModulesDir = "/modules"

// Mount is one filesystem to mount.
type Mount struct {
	Source, Target, Type, Options string
	Flags                         uintptr
}

// Kernel are the filesystems without which hardly a program works.
func Kernel() []Mount {
	return []Mount{
		{Source: "proc", Target: "/proc", Type: "proc"},
		{Source: "sysfs", Target: "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs"},
	}
}

// MountAll mounts them in their order and makes the directories for it.
func MountAll(mounts []Mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Options); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.Type, m.Target, err)
		}
	}
	return nil
}

// LoadModules loads all modules of [ModulesDir]. The parameters of a module are
// those of the map with its file's name.
func LoadModules(parameters map[string]string) error {
	paths, err := filepath.Glob(filepath.Join(ModulesDir, "*"))
	if err != nil {
		return err
	}
	for _, path := range paths { // Glob sorts
		if err := loadModule(path, parameters); err != nil {
			return fmt.Errorf("load module %s: %w", path, err)
		}
	}
	return nil
}

func loadModule(path string, parameters map[string]string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, name := SplitModulePath(path)
	return unix.FinitModule(int(file.Fd()), parameters[name], 0)
}

// ModulePath is the path in an initramfs of the module that is loaded at a
// position in the order.
func ModulePath(position int, name string) string {
	return filepath.Join(ModulesDir, fmt.Sprintf("%03d-%s", position, name))
}

// SplitModulePath is the inverse of [ModulePath].
func SplitModulePath(path string) (position int, name string) {
	if _, err := fmt.Sscanf(filepath.Base(path), "%03d-%s", &position, &name); err != nil {
		return -1, filepath.Base(path)
	}
	return position, name
}

// End ends the machine in one of the ways of reboot(2), for example with
// unix.LINUX_REBOOT_CMD_POWER_OFF. It returns only if that fails.
func End(command int) error {
	unix.Sync()
	return errors.Join(errors.New("the machine goes on"), unix.Reboot(command))
}
