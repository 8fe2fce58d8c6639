// Package functions lists the serverless functions whose cold starts are measured.
//
// A function is a guest and two lists of requests: those that are asked while its
// working set is recorded, and those that are asked when it is started again. They
// differ, as a function's input does from one call to the next: a working set that
// helps only with the very request it was recorded with helps nobody.
//
// The functions are modeled on those that papers about cold starts use (FunctionBench
// and those of vHive): lists, Fibonacci numbers, matrix multiplication, rotation of
// small and large images, tables of HTML, a walk through a sequence of bases, graph
// search and ranking, training of a model and prediction by one, generation of text.
// Video processing and the classification of images by a convolutional network are
// left out: Debian has no such library of a size that a guest of 512 MiB could hold
// beside its data. The requests are those of the servers in tests/guest.
package functions
