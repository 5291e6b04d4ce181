package switchboard_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard"
)

const patience = 25 * time.Second

// stage is the stage of clients/conformance as a process of its own, and its control interface.
type stage struct {
	Control string `json:"control"`
	Hub     string `json:"hub"`
	Proxy   string `json:"proxy"`
	GRPC    string `json:"grpc"`
	APIKey  string `json:"api_key"`
	http    http.Client
}

type object = map[string]any

func startStage(t *testing.T, options ...string) *stage {
	t.Helper()
	if os.Getenv("SWITCHBOARD_HUB") == "" {
		t.Fatal("set SWITCHBOARD_HUB to the path of the hub, the program `switchboard`")
	}
	node := os.Getenv("SWITCHBOARD_NODE")
	if node == "" {
		node = "node"
	}
	options = append([]string{"../conformance/stage.mjs", `--set=namespaces.inbox={"durable":true,"history_count":1000}`}, options...)
	command := exec.Command(node, options...)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	made := &stage{}
	t.Cleanup(func() {
		made.http.CloseIdleConnections()
		_ = input.Close()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the stage did not start: %v", err)
	}
	if err := json.Unmarshal(line, made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *stage) ask(method, path string, body any) (object, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, s.Control+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer := object{}
	text, err = io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err == nil && response.StatusCode >= 400 {
		err = fmt.Errorf("%s %s: %v", method, path, answer["error"])
	}
	return answer, err
}

func (s *stage) post(t *testing.T, path string, body any) object {
	t.Helper()
	answer, err := s.ask("POST", path, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (s *stage) token(claims object) (string, error) {
	answer, err := s.ask("POST", "/token", claims)
	if err != nil {
		return "", err
	}
	token, is := answer["token"].(string)
	if !is {
		return "", errors.New("the stage gave no token")
	}
	return token, nil
}

// proxy adds a proxy for the test: its id and its address.
func (s *stage) proxy(t *testing.T, modes object) (string, string) {
	t.Helper()
	answer := s.post(t, "/proxies", modes)
	id, url := answer["id"].(string), answer["url"].(string)
	t.Cleanup(func() { _, _ = s.ask("DELETE", "/proxies/"+id, object{}) })
	return id, url
}

// client makes a client of a user of its own that ends with the test.
func (s *stage) client(t *testing.T, url string, options switchboard.Options) *switchboard.Client {
	t.Helper()
	if options.Token == "" && options.GetToken == nil {
		token, err := s.token(object{"user": unique("user")})
		if err != nil {
			t.Fatal(err)
		}
		options.Token = token
	}
	client := switchboard.New(url, options)
	t.Cleanup(client.Close)
	return client
}

var count atomic.Int64

// unique gives a name that no other test uses.
func unique(prefix string) string {
	return fmt.Sprintf("%s-%d-%d-%d", prefix, os.Getpid(), time.Now().UnixNano(), count.Add(1))
}

func channel(namespace string) string { return namespace + ":" + unique("c") }

// until waits until it holds; it fails by its name.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s never came", what)
		}
	}
}

// stacksOf gives the stacks of the goroutines that are in something.
func stacksOf(what string) (found []string) {
	text := make([]byte, 1<<20)
	text = text[:runtime.Stack(text, true)]
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		if strings.Contains(stack, what) {
			found = append(found, stack)
		}
	}
	return found
}

func goroutines(in string) int { return len(stacksOf(in)) }

// nothingLeft says, at the end of a test, that no goroutine of the client is left.
func nothingLeft(t *testing.T) {
	t.Helper()
	stacks := func() (left []string) {
		for _, of := range []string{"switchboard.(*", "coder/websocket", "google.golang.org/grpc"} {
			left = append(left, stacksOf(of)...)
		}
		return left
	}
	for end := time.Now().Add(5 * time.Second); len(stacks()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("goroutines are left:\n%s", strings.Join(stacks(), "\n\n"))
		}
	}
}
