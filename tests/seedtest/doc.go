// Package seedtest gives tests random numbers that they can be given again.
//
// Each test that is random logs its seed; with the environment variable [Variable] set
// to it, it makes the same choices.
package seedtest
