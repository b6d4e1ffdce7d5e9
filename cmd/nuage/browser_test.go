package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// browser is a chromium without a window, driven by its DevTools protocol.
type browser struct {
	t      *testing.T
	conn   *websocket.Conn
	number int
	dir    string // of screenshots
}

// startBrowser starts chromium with scripts of pages switched off: what is tested works without. Where there is no
// chromium the test is skipped, unless that is said to be a failure.
func startBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	switch {
	case err == nil:
	case os.Getenv("NUAGE_REQUIRE_BROWSER") == "1":
		t.Fatalf("no chromium: %v; run apt-get install chromium", err)
	default:
		t.Skip("*** SKIPPED: there is no chromium; run apt-get install chromium ***")
	}
	profile := filepath.Join(t.TempDir(), "profile")
	flags = append(flags, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--lang=en-US",
		"--accept-lang=en-US", "--remote-debugging-port=0", "--window-size=900,760", "--user-data-dir="+profile, "about:blank")
	cmd := exec.Command(path, flags...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
		// Its helper processes go a moment later, and write to the profile until then.
		eventually(t, time.Minute, "the profile of chromium is gone", func() error { return os.RemoveAll(profile) })
	})
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			if _, address, ok := strings.Cut(lines.Text(), "DevTools listening on ws://"); ok {
				found <- address
			}
		}
	}()
	b := &browser{t: t, dir: artifacts(t)}
	select {
	case address := <-found:
		b.attach(address[:strings.IndexByte(address, '/')])
	case <-time.After(time.Minute):
		t.Fatal("chromium did not say where it listens within a minute")
	}
	b.call("Page.enable", nil, nil)
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	return b
}

// artifacts is where screenshots are kept: $NUAGE_ARTIFACTS, else what go test -artifacts keeps.
func artifacts(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NUAGE_ARTIFACTS")
	if dir == "" {
		return t.ArtifactDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// attach connects to the page that is open.
func (b *browser) attach(address string) {
	b.t.Helper()
	answer, err := http.Get("http://" + address + "/json/list")
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	var targets []struct {
		Type string `json:"type"`
		URL  string `json:"webSocketDebuggerUrl"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&targets); err != nil {
		b.t.Fatal(err)
	}
	for _, target := range targets {
		if target.Type != "page" {
			continue
		}
		if b.conn, _, err = websocket.Dial(b.t.Context(), target.URL, nil); err != nil {
			b.t.Fatal(err)
		}
		b.conn.SetReadLimit(64 << 20)
		b.t.Cleanup(func() { _ = b.conn.CloseNow() })
		return
	}
	b.t.Fatalf("chromium has no page: %+v", targets)
}

// call asks for something and reads up to the answer.
func (b *browser) call(method string, params, out any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	b.number++
	text, err := json.Marshal(map[string]any{"id": b.number, "method": method, "params": params})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.conn.Write(ctx, websocket.MessageText, text); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		_, text, err := b.conn.Read(ctx)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Error  json.RawMessage `json:"error"`
			Result json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		if answer.ID != b.number {
			continue // an event, which nothing waits for
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error)
		}
		if out != nil {
			if err := json.Unmarshal(answer.Result, out); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

// look evaluates an expression in the page.
func (b *browser) look(expression string) string {
	b.t.Helper()
	var out struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "(() => { try { return String(" + expression + ") } catch (e) { return '' } })()", "returnByValue": true, "userGesture": true}, &out)
	text, _ := out.Result.Value.(string)
	return text
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// waitFor waits until the page has a heading.
func (b *browser) waitFor(heading string) {
	b.t.Helper()
	b.waitUntil("the heading "+heading, func() bool {
		return b.look(`document.readyState === "complete" ? document.querySelector("h1").innerText : ""`) == heading
	})
}

// waitUntil asks the page until something is so, half a minute at most.
func (b *browser) waitUntil(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the browser is at %s and does not show %s:\n%s", b.look("location.href"), what, b.look("document.body.innerText"))
		}
	}
}

// fill types into a field as a person does.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.look(fmt.Sprintf("document.querySelector(%q).focus()", selector))
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.look(fmt.Sprintf("document.querySelector(%q).click()", selector))
}

// shoot keeps a picture of the page.
func (b *browser) shoot(name string) {
	b.t.Helper()
	var out struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &out)
	picture, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil || len(picture) < 1000 {
		b.t.Fatalf("a picture of %d bytes, %v", len(picture), err)
	}
	path := filepath.Join(b.dir, name+".png")
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("picture: %s", path)
}
