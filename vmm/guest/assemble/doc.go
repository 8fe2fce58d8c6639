// Package assemble makes the image of the built-in guest from its sources with
// nothing but the go command.
//
// The sources are written for Go's assembler. It makes objects only for Go's
// linker, and that makes only whole Go programs; so the sources are linked into
// a small Go program, which is never run, and the bytes from the symbol start to
// the symbol imageEnd are cut out of it.
//
// The image must refer to nothing outside itself, and to nothing inside by
// address. That is not looked up but tried: the program is linked twice, to
// different addresses and with different distances to what is before and behind
// the guest. Whatever refers to something else comes out differently.
//
// Texts, which Go's assembler would put into another section, are listed in
// texts.txt and become symbols among the code.
package assemble
