package api

import "time"

func (s *Server) putAction(r request) error {
	var action string
	err := decodeBody(r.body, field{
		name: "action_type", required: true,
		read: variant(&action, "FlushMetrics", "InstanceStart", "SendCtrlAltDel"),
	})
	if err != nil {
		return err
	}
	if action == "InstanceStart" {
		if s.machine != nil {
			return refuse(msgAfterStart)
		}
		return s.startInstance()
	}
	if s.machine == nil {
		return refuse(msgBeforeStart)
	}
	if action == "FlushMetrics" {
		s.metrics.flush(s.log.missed())
		return nil
	}
	if err := s.machine.SendCtrlAltDel(); err != nil {
		return failed("Internal Vmm error", err)
	}
	return nil
}

// startInstance makes the machine that was configured and lets it run. After a
// failure nothing is left of it, and the client may configure it better.
func (s *Server) startInstance() error {
	if s.config.source == nil {
		return refuse("Cannot start microvm without kernel configuration.")
	}
	began := time.Now()
	m, err := s.opts.Launcher.Boot(s.ctx, s.bootRequest())
	if err != nil {
		return failed("Cannot start microvm", err)
	}
	if err := m.Start(); err != nil {
		s.discard(m)
		return failed("Cannot start microvm", err)
	}
	s.metrics.took("instance_start", time.Since(began))
	s.adopt(m)
	return nil
}

// bootRequest turns what was configured into what a launcher needs.
func (s *Server) bootRequest() BootRequest {
	c := s.config
	request := BootRequest{
		Shape: Shape{
			VCPUCount: int(c.machine.VCPUCount), MemoryBytes: int64(c.machine.MemoryMiB) << 20,
			TrackDirtyPages: c.machine.TrackDirtyPages, HugePages: c.machine.HugePages == hugePages2M,
		},
		Kernel: c.source.Kernel, CommandLine: c.source.commandLine(), Logger: s.logger,
	}
	if c.source.Initrd != nil {
		request.Initrd = *c.source.Initrd
	}
	for _, d := range c.drives {
		drive := Drive{ID: d.ID, Path: d.Path, ReadOnly: d.ReadOnly, Root: d.Root}
		if d.Root && d.PartUUID != nil {
			drive.PartUUID = *d.PartUUID
		}
		request.Drives = append(request.Drives, drive)
	}
	return request
}

// patchVM pauses or resumes. Asking for the state that there is already is no
// mistake: the client may have lost the answer.
func (s *Server) patchVM(r request) error {
	var state string
	err := decodeBody(r.body, field{
		name: "state", required: true, read: variant(&state, "Paused", "Resumed"),
	})
	if err != nil {
		return err
	}
	change, metric, already := s.machine.Resume, "resume_vm", Running
	if state == "Paused" {
		change, metric, already = s.machine.Pause, "pause_vm", Paused
	}
	if s.machine.State() == already {
		return nil
	}
	began := time.Now()
	if err := change(); err != nil {
		return failed("Internal Vmm error", err)
	}
	s.metrics.took(metric, time.Since(began))
	return nil
}
