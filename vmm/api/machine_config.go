package api

// Bounds of a machine. Firecracker has the same for vCPUs, and none for memory;
// ours keeps the size in bytes far from overflow and leaves the rest to the
// machine.
const (
	maxVCPUs     = 32
	maxMemoryMiB = 16 << 20
)

// machineConfig is the document at /machine-config.
type machineConfig struct {
	VCPUCount       uint64 `json:"vcpu_count"`
	MemoryMiB       uint64 `json:"mem_size_mib"`
	SMT             bool   `json:"smt"`
	TrackDirtyPages bool   `json:"track_dirty_pages"`
	HugePages       string `json:"huge_pages"`
}

// Of huge_pages: none, or advice to the kernel to use pages of 2 MiB. It is
// less than what Firecracker does, which takes them from hugetlbfs.
const (
	hugePagesNone = "None"
	hugePages2M   = "2M"
)

// defaultMachineConfig is what a machine has that is not configured.
func defaultMachineConfig() machineConfig {
	return machineConfig{VCPUCount: 1, MemoryMiB: 128, HugePages: hugePagesNone}
}

// putMachineConfig replaces the configuration, patchMachineConfig the members
// that it is given.
func (s *Server) putMachineConfig(r request) error {
	return s.updateMachineConfig(r.body, defaultMachineConfig(), true)
}

func (s *Server) patchMachineConfig(r request) error {
	return s.updateMachineConfig(r.body, s.config.machine, false)
}

func (s *Server) updateMachineConfig(body []byte, c machineConfig, whole bool) error {
	var template string
	given := false
	some := func(name string, read reader) field {
		return field{name: name, read: optional(&given, read)}
	}
	all := func(name string, read reader) field {
		if whole {
			return field{name: name, required: true, read: read}
		}
		return some(name, read)
	}
	err := decodeBody(body,
		all("vcpu_count", unsigned(&c.VCPUCount, 8)),
		all("mem_size_mib", unsigned(&c.MemoryMiB, 64)),
		some("smt", boolean(&c.SMT)),
		some("cpu_template", variant(&template, "C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None")),
		some("track_dirty_pages", boolean(&c.TrackDirtyPages)),
		some("huge_pages", variant(&c.HugePages, hugePagesNone, hugePages2M)))
	if err != nil {
		return err
	}
	if !whole && !given {
		return refuse("Empty PATCH request.")
	}
	if template != "" && template != "None" {
		return unsupported("CPU template %s; only None is.", template)
	}
	if err := c.check(); err != nil {
		return err
	}
	s.config.machine, s.config.touched = c, true
	return nil
}

// check refuses what no machine can be.
func (c machineConfig) check() error {
	switch {
	case c.VCPUCount < 1 || c.VCPUCount > maxVCPUs:
		return refuse("The vCPU number is invalid! The vCPU number can only be between 1 and %d.", maxVCPUs)
	case c.SMT:
		return unsupported("simultaneous multithreading.")
	case c.MemoryMiB < 1 || c.MemoryMiB > maxMemoryMiB:
		return refuse("The memory size (MiB) is invalid.")
	case c.HugePages == hugePages2M && c.MemoryMiB%2 != 0:
		return refuse("The memory size (MiB) is invalid: it must be a multiple of the page size, 2 MiB.")
	}
	return nil
}

// machineConfigOf describes a machine that exists.
func machineConfigOf(shape Shape) machineConfig {
	c := machineConfig{
		VCPUCount: uint64(shape.VCPUCount), MemoryMiB: uint64(shape.MemoryBytes >> 20),
		TrackDirtyPages: shape.TrackDirtyPages, HugePages: hugePagesNone,
	}
	if shape.HugePages {
		c.HugePages = hugePages2M
	}
	return c
}
