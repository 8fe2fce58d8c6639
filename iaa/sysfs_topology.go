package iaa

import (
	"path"
	"strconv"
	"strings"
)

const (
	processors   = "devices/system/cpu"
	memoryNodes  = "devices/system/node"
	maxCPUs      = 1 << 14
	maxPackageID = 1 << 14
)

// topology tells which processors and which devices are on the same socket.
// Sockets and not NUMA nodes count: with sub-NUMA clustering a socket has
// several nodes, and all its accelerators belong to one or two of them.
type topology struct {
	packages map[int]int // of a processor, by number
}

func readTopology(s sysfs) topology {
	t := topology{packages: map[int]int{}}
	for _, name := range s.names(processors) {
		cpu, ok := numberAfter("cpu", name)
		if !ok || cpu >= maxCPUs {
			continue
		}
		id := s.integer(processors, name, "topology/physical_package_id")
		if id.known && id.value >= 0 && id.value < maxPackageID {
			t.packages[cpu] = id.value
		}
	}
	return t
}

// ofNode returns the socket of a NUMA node, by its first processor.
func (t topology) ofNode(s sysfs, node optional[int]) optional[int] {
	if !node.known || node.value < 0 {
		return optional[int]{}
	}
	list, ok := s.text(path.Join(memoryNodes, "node"+strconv.Itoa(node.value), "cpulist"))
	if !ok {
		return optional[int]{}
	}
	first, _, _ := strings.Cut(list, ",")
	first, _, _ = strings.Cut(first, "-")
	cpu, ok := plainNumber(first)
	if !ok {
		return optional[int]{}
	}
	id, ok := t.packages[cpu]
	return optional[int]{value: id, known: ok}
}
