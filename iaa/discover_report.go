package iaa

import (
	"fmt"
	"path"
)

func (d *discovery) reportQueue(q *foundQueue) QueueReport {
	r := QueueReport{
		Name: q.name, Node: q.nodes()[0], Usable: Yes, Reason: "ready",
		Mode: "unknown", Size: q.size.or(-1),
	}
	if q.mode.is(wordShared) || q.mode.is(wordDedicated) {
		r.Mode = q.mode.value
	}
	if found, ok := d.obstacleTo(q); ok {
		r.Usable, r.Reason = found.verdict, found.reason
		r.Fix = d.fix(q)
	}
	return r
}

// report sums up what is known of all queues, which opening them may have
// changed since they were found.
func (d *discovery) report() Report {
	if len(d.devices) == 0 {
		return d.reportNothing()
	}
	report := Report{Usable: No}
	usable := 0
	for _, device := range d.devices {
		r := d.reportDevice(device)
		report.Devices = append(report.Devices, r)
		report.Usable = better(report.Usable, r.Usable)
		for _, queue := range r.Queues {
			if queue.Usable == Yes {
				usable++
			}
		}
	}
	switch {
	case report.Usable == Yes:
		report.Reason = fmt.Sprintf("%s of %s", counted(usable, "usable queue"), counted(len(d.devices), "accelerator"))
		return report
	case len(d.devices) == 1:
		report.Reason = d.devices[0].name + ": " + report.Devices[0].Reason
	default:
		report.Reason = fmt.Sprintf("none of %d accelerators is usable; %s: %s",
			len(d.devices), d.devices[0].name, report.Devices[0].Reason)
	}
	for _, r := range report.Devices {
		report.Fix = append(report.Fix, r.Fix...)
	}
	return report
}

// better is the answer to "is one of them usable?".
func better(a, b Verdict) Verdict {
	rank := [...]int{No: 0, Unknown: 1, Yes: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (d *discovery) reportDevice(device *foundDevice) DeviceReport {
	r := DeviceReport{
		Name: device.name, Usable: No, State: device.state.or("unknown"),
		NUMANode: device.node.or(-1), Engines: device.engineCount(),
	}
	if device.version.known {
		r.Generation = 1
		if device.version.value >= generation2 {
			r.Generation = 2
		}
	}
	var telling *foundQueue // whose reason is the device's
	usable := 0
	for _, queue := range device.queues {
		r.Queues = append(r.Queues, queue.report)
		if queue.report.Usable == Yes {
			usable++
		}
		if telling == nil || queue.tellsMoreThan(telling) {
			telling = queue
		}
	}
	switch {
	case telling == nil:
		r.Reason = "no work queue is shown"
		if found := checkDevice(&foundQueue{device: device}); found.verdict != Yes {
			r.Usable, r.Reason = found.verdict, found.reason
		}
	case usable > 0:
		r.Usable, r.Reason = Yes, counted(usable, "usable queue")
	default:
		r.Usable = telling.report.Usable
		r.Reason = telling.name + ": " + telling.report.Reason
		r.Fix = telling.report.Fix
	}
	return r
}

// tellsMoreThan is whether this queue explains better than the other why a
// device is not usable: one that is nearly usable does, then one that somebody
// configured.
func (q *foundQueue) tellsMoreThan(other *foundQueue) bool {
	if q.report.Usable != other.report.Usable {
		return q.report.Usable == better(q.report.Usable, other.report.Usable)
	}
	return q.kind.isNot(wordNone) && other.kind.is(wordNone)
}

// engineCount is how many engines are in groups, -1 if it cannot be read.
func (d *foundDevice) engineCount() int {
	count, known := 0, false
	for _, group := range d.engineGroup {
		known = known || group.known
		if group.known && group.value >= 0 {
			count++
		}
	}
	if !known {
		return -1
	}
	return count
}

// reportNothing explains why no accelerator was found.
func (d *discovery) reportNothing() Report {
	report := Report{Usable: No, Reason: "no accelerator found", Devices: []DeviceReport{}}
	if !d.readable {
		report.Usable, report.Reason = Unknown, "sysfs cannot be read"
		return report
	}
	if address := d.pciAddress(); address != "" {
		report.Reason = "there is an accelerator (PCI " + quoted(address) + "), but the kernel's driver idxd does not drive it"
		report.Fix = []string{"modprobe idxd"}
	}
	return report
}

// pciAddress finds an accelerator that has no driver. Only to explain: whether
// a device can be used does not depend on its PCI number. Source: Linux,
// drivers/dma/idxd/init.c and include/linux/pci_ids.h.
func (d *discovery) pciAddress() string {
	const devices, intel = "bus/pci/devices", 0x8086
	for _, address := range d.sysfs.names(devices) {
		if !d.sysfs.register(path.Join(devices, address), "vendor").is(intel) {
			continue
		}
		switch d.sysfs.register(path.Join(devices, address), "device").or(0) {
		case 0x0cfe, 0x1216, 0xb02d:
			return address
		}
	}
	return ""
}

// fix lists the commands, for root, that would make the queue usable.
func (d *discovery) fix(q *foundQueue) []string {
	var lines []string
	if q.device.pasid.is(0) {
		lines = append(lines, "# add intel_iommu=on,sm_on to the kernel command line and reboot; in the BIOS, VT-d must be on")
	}
	if q.runs(opcodeDecompress) == No && q.operations.has(opcodeDecompress) != No {
		return nil // the device itself cannot
	}
	if q.mode.is(wordShared) && !d.cpu.ENQCMD || q.mode.is(wordDedicated) && !d.cpu.MOVDIR64B {
		return nil // the kernel and the hypervisor decide
	}
	if d.isConfigured(q) {
		lines = append(lines, q.enable()...)
	} else {
		lines = append(lines, d.configure(q)...)
	}
	return append(lines, q.grantAccess())
}

// isConfigured is whether the queue only has to be enabled.
func (d *discovery) isConfigured(q *foundQueue) bool {
	return checkPurpose(q) == noObstacle && d.checkGroup(q) == noObstacle && d.checkOperations(q) == noObstacle
}

func (q *foundQueue) enable() (lines []string) {
	if q.device.state.isNot(wordEnabled) {
		lines = append(lines, "accel-config enable-device "+q.device.name)
	}
	if q.state.isNot(wordEnabled) || len(lines) > 0 {
		lines = append(lines, q.command("enable-wq"))
	}
	return lines
}

func (q *foundQueue) command(name string) string {
	return "accel-config " + name + " " + q.device.name + "/" + q.name
}

func (q *foundQueue) grantAccess() string {
	return "setfacl -m u:USER:rw /dev/" + q.nodes()[0] + "  # USER runs sabrefs"
}

// configure sets the device up anew, with this queue having all slots and all
// engines. Nearly everything can be changed only while the device is disabled,
// and that only while its queues are.
func (d *discovery) configure(q *foundQueue) []string {
	device := q.device
	lines := device.disable(q)
	for _, engine := range device.engines {
		lines = append(lines, fmt.Sprintf("accel-config config-engine %s/engine%d.%d -g 0", device.name, device.id, engine))
	}
	return append(lines,
		q.configCommand(),
		"accel-config enable-device "+device.name,
		q.command("enable-wq"),
	)
}

// disable makes the device ready to be configured for one queue, which is to
// have all slots.
func (d *foundDevice) disable(keep *foundQueue) (lines []string) {
	for _, queue := range d.queues {
		if !queue.state.is(wordEnabled) {
			continue
		}
		if queue.driver.is("crypto") {
			lines = append(lines, "modprobe -r iaa_crypto  # it comes back at boot unless it is blacklisted")
		}
		if queue.kind.is(wordUser) && queue.clients.known && queue.clients.value > 0 {
			lines = append(lines, fmt.Sprintf("# %s has %s, who will lose it", queue.name, counted(queue.clients.value, "client")))
		}
		lines = append(lines, queue.command("disable-wq"))
	}
	if d.state.isNot(wordDisabled) {
		lines = append(lines, "accel-config disable-device "+d.name)
	}
	for _, queue := range d.queues {
		if queue != keep && queue.size.known && queue.size.value > 0 {
			lines = append(lines, fmt.Sprintf("echo 0 > /sys/%s/%s/size", accelerators, queue.name))
		}
	}
	return lines
}

// configCommand gives the queue all slots of the device, and lets it wait for
// page faults where the device can.
func (q *foundQueue) configCommand() string {
	const usualSlots = 128
	slots := q.device.slots.or(usualSlots)
	if slots <= 0 {
		slots = usualSlots
	}
	block := 1
	if q.device.genCap.known && q.device.genCap.value&capBlockOnFault == 0 {
		block = 0
	}
	command := fmt.Sprintf("accel-config config-wq %s/%s -g 0 -s %d -t %d -p 10 -b %d -m shared -y user -n sabrefs",
		q.device.name, q.name, slots, slots, block)
	if q.hasDriverName {
		command += " -d user"
	}
	return command
}
