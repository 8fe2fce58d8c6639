// Package kvmtest says whether tests may make virtual machines here.
//
// Tests that need KVM have names that begin with TestKVM. Where there is no
// KVM they are skipped, and `make lab` runs them in a machine that has it.
package kvmtest
