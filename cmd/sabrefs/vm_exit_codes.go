//go:build amd64

package main

import (
	"sabrefs/vmm"
	"sabrefs/vmm/api"
)

// vmExitClasses are the errors of machines.
var vmExitClasses = []exitClass{
	{vmm.ErrTripleFault, exitGuest},
	{vmm.ErrUnmapped, exitGuest},
	{vmm.ErrMemoryFault, exitGuest},
	{vmm.ErrInternal, exitGuest},
	{vmm.ErrNoKVM, exitNotReady},
	{vmm.ErrPermission, exitPermission},
	{vmm.ErrMissingFeatures, exitUnsupported},
	{vmm.ErrVersion, exitUnsupported},
	{vmm.ErrArch, exitUnsupported},
	{vmm.ErrNotState, exitDamaged},
	{vmm.ErrDamaged, exitDamaged},
	{vmm.ErrNotKernel, exitDamaged},
	{vmm.ErrMemorySize, exitParent},
	{vmm.ErrIncomplete, exitParent},
	{vmm.ErrConfig, exitUsage},
	{vmm.ErrDoesNotFit, exitUsage},
	{vmm.ErrTarget, exitUsage},
	{vmm.ErrHoles, exitUsage},
	{api.ErrSocketInUse, exitBusy},
	{api.ErrNotSocket, exitExists},
	{api.ErrSocketPath, exitUsage},
	{api.ErrSocketPathTooLong, exitUsage},
}
