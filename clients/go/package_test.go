package switchboard_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// said is what a program prints. What it tells beside that (that it loads a module, for one) is for when it fails.
func said(t *testing.T, environment []string, name string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Env = append(os.Environ(), environment...)
	var text, beside strings.Builder
	command.Stdout, command.Stderr = &text, &beside
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, &text, &beside)
	}
	return text.String()
}

func TestToolsFindNothing(t *testing.T) {
	for _, command := range []string{"gofmt -l .", "go vet ./...", "go tool staticcheck ./...", "go mod tidy -diff"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(command)
			if text := said(t, nil, words[0], words[1:]...); text != "" {
				t.Fatalf("%s finds:\n%s", command, text)
			}
		})
	}
}

func TestTheGeneratedCodeIsWhatTheGeneratorGives(t *testing.T) {
	directory := t.TempDir()
	said(t, nil, "go", "run", "./internal/generate", directory)
	read := func(directory string) map[string]string {
		files := map[string]string{}
		paths, err := filepath.Glob(directory + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(path)] = string(text)
		}
		return files
	}
	committed, generated := read("internal/api"), read(directory)
	if len(generated) != 5 || len(committed) != len(generated) {
		t.Fatalf("%d files, and %d are committed", len(generated), len(committed))
	}
	for name, text := range generated {
		if committed[name] != text {
			t.Errorf("%s is not current: run `go run ./internal/generate`, and commit what it gives", name)
		}
	}
}

func TestExamplesRun(t *testing.T) {
	stage := startStage(t)
	wanted := map[string]string{
		"chat":    "ann: hello\nann: goodbye\n",
		"publish": "published at offset 1\n0 members\n",
		"inbox":   "handled 0\nhandled 1\nhandled 2\n",
	}
	directories, err := os.ReadDir("examples")
	if err != nil || len(directories) != len(wanted) {
		t.Fatal("not all examples are tried", err)
	}
	token, err := stage.token(object{"user": "ann"})
	if err != nil {
		t.Fatal(err)
	}
	for name, output := range wanted {
		t.Run(name, func(t *testing.T) {
			namespace := "chat"
			if name == "inbox" {
				namespace = "inbox"
			}
			environment := []string{
				"SWITCHBOARD_URL=" + stage.Proxy, "SWITCHBOARD_GRPC=" + stage.GRPC, "SWITCHBOARD_API_KEY=" + stage.APIKey,
				"SWITCHBOARD_TOKEN=" + token, "SWITCHBOARD_CHANNEL=" + channel(namespace),
			}
			if text := said(t, environment, "go", "run", "./examples/"+name); text != output {
				t.Fatalf("it says %q, not %q", text, output)
			}
		})
	}
}
