//go:build !amd64

package main

// vmExitClasses is empty where there are no machines.
var vmExitClasses []exitClass
