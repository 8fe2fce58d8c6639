package model

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Attribute is the content of a file of sysfs, without the newline at its end.
type Attribute struct {
	text   string
	err    error
	absent bool
}

// Absent is an attribute that this kernel does not have.
var Absent = Attribute{absent: true}

// Text is an attribute with this content.
func Text(s string) Attribute { return Attribute{text: s} }

// Unreadable is an attribute that can be opened and not be read.
func Unreadable(err error) Attribute { return Attribute{err: err} }

// busDirectory is where all devices, queues, engines and groups are listed side
// by side; queues, engines and groups are in their device's directory too.
// Source: Linux, Documentation/ABI/stable/sysfs-driver-dma-idxd.
const busDirectory = "bus/dsa/devices"

// cdevMajor is the major number of all device nodes.
const cdevMajor = 234

type renderer = func() (string, error)

// attributes is a directory of sysfs.
type attributes map[string]renderer

func fixed(text string) renderer {
	return func() (string, error) { return text + "\n", nil }
}

func decimal(n int) renderer { return fixed(strconv.Itoa(n)) }

func live(text func() string) renderer {
	return func() (string, error) { return text() + "\n", nil }
}

func flag(set bool) renderer {
	if set {
		return fixed("1")
	}
	return fixed("0")
}

// replace applies what a configuration says about attributes.
func (a attributes) replace(with map[string]Attribute) {
	for name, attribute := range with {
		if attribute.absent {
			delete(a, name)
			continue
		}
		a[name] = attribute.renderer()
	}
}

// Sysfs implements portal.Host. States, numbers of clients and errors are those
// of the moment at which a file is opened.
func (h *Host) Sysfs() fs.FS { return h.sysfs }

func (h *Host) newSysfs() *tree {
	files := attributes{}
	for _, d := range h.devices {
		device := d.attributes()
		for _, directory := range slices.Sorted(maps.Keys(device)) {
			for name, render := range device[directory] {
				files[path.Join(busDirectory, d.name, directory, name)] = render
				if directory != "" {
					files[path.Join(busDirectory, directory, name)] = render
				}
			}
		}
	}
	files.replace(h.config.Files)
	return newTree(files)
}

// attributes are the directories of a device by name; its own has none.
func (d *device) attributes() map[string]attributes {
	directories := map[string]attributes{"": d.ownAttributes()}
	for _, q := range d.queues {
		directories[q.name] = q.attributes()
	}
	for i, group := range d.config.EngineGroups {
		directories[d.engineName(i)] = attributes{"group_id": decimal(group)}
	}
	for i := range MaxGroups {
		group := d.groupAttributes(i)
		group.replace(d.config.GroupAttributes)
		directories[fmt.Sprintf("group%d.%d", d.config.ID, i)] = group
	}
	return directories
}

func (d *device) engineName(i int) string { return fmt.Sprintf("engine%d.%d", d.config.ID, i) }

func (d *device) ownAttributes() attributes {
	a := attributes{
		"version":              fixed(versionOf(d.config.Generation)),
		"state":                live(func() string { return string(d.currentState()) }),
		"numa_node":            decimal(d.config.NUMANode),
		"gen_cap":              fixed(fmt.Sprintf("%#x", genCap)),
		"op_cap":               fixed(opcodeBitmap(modeledOpcodes)),
		"max_groups":           decimal(MaxGroups),
		"max_work_queues":      decimal(MaxQueues),
		"max_engines":          decimal(MaxEngines),
		"max_work_queues_size": decimal(MaxSlots),
		"max_transfer_size":    fixed(strconv.FormatInt(deviceMaxTransferBytes, 10)),
		"pasid_enabled":        fixed("1"),
		"cdev_major":           decimal(cdevMajor),
		"configurable":         fixed("1"),
		"cmd_status":           fixed("0x0"),
		"clients":              live(func() string { return strconv.Itoa(d.clients()) }),
		"errors":               live(d.softwareErrors),
	}
	if d.config.Generation >= 2 {
		a["iaa_cap"] = fixed(fmt.Sprintf("%#x", iaaCap))
		a["event_log_size"] = fixed("64")
	}
	a.replace(d.config.Attributes)
	return a
}

// genCap are the general capabilities of Sapphire Rapids: block on fault (0),
// cache control (2), destination readback (8), transfers of 1<<31 bytes (20:16),
// configurable (31) and decompression (40), among others.
const genCap uint64 = 0x71f10901f0105

// iaaCap are the capabilities of a device of the second generation that the
// model has: what all of that generation have (0) and header generation (8).
const iaaCap = 1<<0 | 1<<8

func versionOf(generation int) string { return fmt.Sprintf("%#x", generation<<8) }

// opcodeBitmap is the form of op_cap and op_config: 256 bits, eight words, the
// highest first.
func opcodeBitmap(opcodes []Opcode) string {
	var words [8]uint32
	for _, op := range opcodes {
		words[op/32] |= 1 << (op % 32)
	}
	texts := make([]string, 0, len(words))
	for _, word := range slices.Backward(words[:]) {
		texts = append(texts, fmt.Sprintf("%08x", word))
	}
	return strings.Join(texts, ",")
}

// softwareErrors is the error register: its lowest bit says that a descriptor
// met an error that no completion record could tell of.
func (d *device) softwareErrors() string {
	word := uint64(0)
	if d.unreported.Load() > 0 {
		word = 1
	}
	return fmt.Sprintf("0x%016x 0x%016x 0x%016x 0x%016x", word, 0, 0, 0)
}

func (d *device) groupAttributes(group int) attributes {
	var engines, queues []string
	for i, of := range d.config.EngineGroups {
		if of == group {
			engines = append(engines, d.engineName(i))
		}
	}
	for _, q := range d.queues {
		if q.config.Group == group {
			queues = append(queues, q.name)
		}
	}
	return attributes{
		"engines":         fixed(strings.Join(engines, " ")),
		"work_queues":     fixed(strings.Join(queues, " ")),
		"traffic_class_a": fixed("1"),
		"traffic_class_b": fixed("1"),
	}
}

func (q *queue) attributes() attributes {
	c := q.config
	opcodes := c.Opcodes
	if opcodes == nil {
		opcodes = modeledOpcodes
	}
	a := attributes{
		"state":             live(func() string { return string(q.currentState()) }),
		"type":              fixed(c.Type),
		"driver_name":       fixed(c.Driver),
		"mode":              fixed(string(c.Mode)),
		"size":              decimal(c.Size),
		"threshold":         decimal(c.Threshold),
		"priority":          decimal(c.Priority),
		"group_id":          decimal(c.Group),
		"block_on_fault":    flag(c.BlockOnFault),
		"max_transfer_size": decimal(c.MaxTransferBytes),
		"name":              fixed(c.Name),
		"cdev_minor":        q.minorAttribute(),
		"clients":           live(func() string { return strconv.Itoa(int(q.clients.Load())) }),
		"ats_disable":       fixed("0"),
		"prs_disable":       fixed("0"),
		"enqcmds_retries":   fixed("32"),
		"op_config":         fixed(opcodeBitmap(opcodes)),
		"occupancy":         Unreadable(syscall.EOPNOTSUPP).renderer(),
	}
	a.replace(c.Attributes)
	return a
}

func (a Attribute) renderer() renderer {
	if a.err != nil {
		return func() (string, error) { return "", a.err }
	}
	return fixed(a.text)
}

// minorAttribute cannot be read while the queue has no device node.
func (q *queue) minorAttribute() renderer {
	return func() (string, error) {
		if !q.hasNode() {
			return "", syscall.ENXIO
		}
		return strconv.Itoa(q.minor) + "\n", nil
	}
}
