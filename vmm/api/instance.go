package api

// speaksVersion is the version of Firecracker whose API this is. Clients ask
// for it to know what they may send; it says nothing about our own version or
// about the format of snapshots, which are not Firecracker's.
const speaksVersion = "1.0.0"

// appName is what GET / says the program is.
const appName = "sabrefs"

// instanceInfo is the document at /.
type instanceInfo struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Version string `json:"vmm_version"`
	AppName string `json:"app_name"`
}

func (s *Server) getInstance() any {
	state := NotStarted
	if s.machine != nil {
		state = s.machine.State()
	}
	return instanceInfo{ID: s.opts.ID, State: state.String(), Version: speaksVersion, AppName: appName}
}

func (s *Server) getVersion() any {
	return struct {
		Version string `json:"firecracker_version"`
	}{speaksVersion}
}

func (s *Server) getMachineConfig() any { return s.config.machine }

// vmConfig is the document at /vm/config. What this machine cannot have is
// null or empty, as it is in Firecracker when it is not configured.
type vmConfig struct {
	Balloon       *struct{}      `json:"balloon"`
	Drives        []driveConfig  `json:"drives"`
	BootSource    bootSource     `json:"boot-source"`
	Logger        *loggerConfig  `json:"logger"`
	MachineConfig machineConfig  `json:"machine-config"`
	Metrics       *metricsConfig `json:"metrics"`
	MMDS          *struct{}      `json:"mmds-config"`
	Network       []struct{}     `json:"network-interfaces"`
	Vsock         *struct{}      `json:"vsock"`
}

func (s *Server) getVMConfig() any {
	c := vmConfig{
		Drives: s.config.drives, MachineConfig: s.config.machine,
		Logger: s.config.logger, Metrics: s.config.metrics, Network: []struct{}{},
	}
	if c.Drives == nil {
		c.Drives = []driveConfig{}
	}
	if s.config.source != nil {
		c.BootSource = *s.config.source
	}
	return c
}
