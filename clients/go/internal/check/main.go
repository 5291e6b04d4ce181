// Command check runs the module's tests, and says at the end how many there were, as cargo says it.
//
//	SWITCHBOARD_HUB=/path/to/switchboard go run ./internal/check [GO TEST ARGUMENTS]
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	command := exec.Command("go", append([]string{"test", "-json", "-count=1", "./..."}, os.Args[1:]...)...)
	command.Stderr = os.Stderr
	told, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var passed, failed int
	said := map[string][]string{}
	lines := bufio.NewScanner(told)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			fmt.Println(lines.Text())
			continue
		}
		key := event.Package + " " + event.Test
		switch event.Action {
		case "output":
			said[key] = append(said[key], event.Output)
		case "build-output":
			fmt.Print(event.Output)
		case "pass", "skip":
			if event.Test != "" && event.Action == "pass" {
				passed++
			}
			for _, line := range said[key] {
				// What a test has to say though it passed, and how each package went.
				if event.Test == "" || strings.Contains(line, "_test.go:") {
					fmt.Print(line)
				}
			}
			delete(said, key)
		case "fail":
			fmt.Print(strings.Join(said[key], ""))
			if event.Test != "" {
				failed++
				fmt.Printf("test go %s ... FAILED\n", event.Test)
			}
		}
	}
	good := command.Wait() == nil && failed == 0 && passed > 0
	result := "ok"
	if !good {
		result = "FAILED"
	}
	fmt.Printf("\ntest result: %s. %d passed; %d failed; 0 ignored\n", result, passed, failed)
	if !good {
		os.Exit(1)
	}
}
