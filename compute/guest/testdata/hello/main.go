// Command hello is all there is in an image made for a test.
package main

import "fmt"

func main() { fmt.Println("hello") }
