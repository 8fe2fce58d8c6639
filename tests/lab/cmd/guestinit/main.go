// Guestinit placeholder.
package main

func main() {}
