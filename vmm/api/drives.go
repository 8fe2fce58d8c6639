package api

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// maxDrives bounds the list. Each has an interrupt of its own, and there are
// no more than these.
const maxDrives = 8

// driveConfig is the document at /drives/ID.
type driveConfig struct {
	ID        string  `json:"drive_id"`
	Path      string  `json:"path_on_host"`
	Root      bool    `json:"is_root_device"`
	PartUUID  *string `json:"partuuid"`
	ReadOnly  bool    `json:"is_read_only"`
	CacheType string  `json:"cache_type"`
	IOEngine  string  `json:"io_engine"`
	// RateLimiter is always null: there are none.
	RateLimiter *struct{} `json:"rate_limiter"`
}

// checkID refuses what Firecracker refuses as the name of a resource.
func checkID(id string) error {
	if id == "" {
		return refuse("The ID cannot be empty.")
	}
	if strings.ContainsFunc(id, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	}) {
		return refuse("API Resource IDs can only contain alphanumeric characters and underscores.")
	}
	return nil
}

func (s *Server) putDrive(r request) error {
	if err := checkID(r.id); err != nil {
		return err
	}
	d := driveConfig{CacheType: "Unsafe", IOEngine: "Sync"}
	var partUUID string
	var hasPartUUID, limited, ignored bool
	err := decodeBody(r.body,
		field{name: "drive_id", required: true, read: text(&d.ID)},
		field{name: "path_on_host", required: true, read: hostPath(&d.Path)},
		field{name: "is_root_device", required: true, read: boolean(&d.Root)},
		field{name: "partuuid", read: optional(&hasPartUUID, text(&partUUID))},
		field{name: "is_read_only", required: true, read: boolean(&d.ReadOnly)},
		field{name: "cache_type", read: optional(&ignored, variant(&d.CacheType, "Unsafe", "Writeback"))},
		field{name: "rate_limiter", read: presence(&limited)},
		field{name: "io_engine", read: optional(&ignored, variant(&d.IOEngine, "Sync", "Async"))})
	if err != nil {
		return err
	}
	if hasPartUUID {
		d.PartUUID = &partUUID
	}
	if d.ID != r.id {
		return refuse("The id from the path does not match the id from the body!")
	}
	if limited {
		return unsupported("rate limiters.")
	}
	if d.IOEngine != "Sync" {
		return unsupported("the io_engine %s; only Sync is.", d.IOEngine)
	}
	if err := d.check(); err != nil {
		return err
	}
	return s.insertDrive(d)
}

func (d driveConfig) check() error {
	if err := canRead(d.Path); err != nil {
		return refuse("Invalid block device path: %s: %v", d.Path, err)
	}
	if d.PartUUID == nil {
		return nil
	}
	return checkCommandLine(*d.PartUUID)
}

// insertDrive adds a drive, or replaces the one of that name. The root drive
// is the first, so that the guest knows it as /dev/vda.
func (s *Server) insertDrive(d driveConfig) error {
	others := slices.DeleteFunc(slices.Clone(s.config.drives), func(o driveConfig) bool { return o.ID == d.ID })
	if d.Root && slices.ContainsFunc(others, func(o driveConfig) bool { return o.Root }) {
		return refuse("A root block device already exists!")
	}
	if len(others) >= maxDrives {
		return refuse("Too many drives: a machine has at most %d.", maxDrives)
	}
	at := slices.IndexFunc(s.config.drives, func(o driveConfig) bool { return o.ID == d.ID })
	switch {
	case d.Root:
		others = slices.Insert(others, 0, d)
	case at >= 0:
		others = slices.Insert(others, at, d)
	default:
		others = append(others, d)
	}
	s.config.drives, s.config.touched = others, true
	return nil
}

// patchDrive puts another file behind a drive of a machine that was started.
func (s *Server) patchDrive(r request) error {
	if err := checkID(r.id); err != nil {
		return err
	}
	var id, path string
	var hasPath, limited bool
	err := decodeBody(r.body,
		field{name: "drive_id", required: true, read: text(&id)},
		field{name: "path_on_host", read: optional(&hasPath, hostPath(&path))},
		field{name: "rate_limiter", read: presence(&limited)})
	if err != nil {
		return err
	}
	switch {
	case id != r.id:
		return refuse("The id from the path does not match the id from the body!")
	case limited:
		return unsupported("rate limiters.")
	case !hasPath:
		return refuse("Please specify at least one property to patch: path_on_host, rate_limiter.")
	}
	return s.updateDrive(id, path)
}

func (s *Server) updateDrive(id, path string) error {
	drives := s.machine.Shape().Drives
	if !slices.ContainsFunc(drives, func(d Drive) bool { return d.ID == id }) {
		return refuse("Error during drive update (patch): there is no drive %s", id)
	}
	if err := canRead(path); err != nil {
		return refuse("Invalid block device path: %s: %v", path, err)
	}
	err := s.machine.UpdateDrive(id, path)
	if errors.Is(err, errors.ErrUnsupported) {
		return unsupported("putting another file behind a drive of a machine that was started.")
	}
	if err != nil {
		return failed("Error during drive update (patch)", err)
	}
	for i := range s.config.drives {
		if s.config.drives[i].ID == id {
			s.config.drives[i].Path = path
		}
	}
	return nil
}
