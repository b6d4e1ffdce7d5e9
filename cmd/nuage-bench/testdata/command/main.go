// A WASI preview 1 command in Go: the event on stdin, a greeting on stdout.
package main

import (
	"encoding/json"
	"os"
)

func main() {
	var event struct{ Name string }
	if err := json.NewDecoder(os.Stdin).Decode(&event); err != nil {
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"greeting": "Hello, " + event.Name + "!"}); err != nil {
		os.Exit(1)
	}
}
