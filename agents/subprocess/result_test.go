package subprocess

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/agents"
)

func request() agents.Request {
	return agents.Request{ID: "1", Resource: "r", Agent: agents.Ref{Class: "ocf", Provider: "p", Type: "t"}, Operation: "monitor", Timeout: 5 * time.Second}
}

func TestRunAgent(t *testing.T) {
	l := launcher(t, "")
	tests := []struct {
		name, text string
		timeout    time.Duration
		want       agents.Result
	}{
		{"not running", `exit 7`, 0, agents.Result{RC: 7}},
		{"reason", "echo out; echo 'ocf-exit-reason:no disk' >&2; echo more >&2; exit 1", 0, agents.Result{RC: 1, Reason: "no disk", Output: "out\nocf-exit-reason:no disk\nmore\n"}},
		{"timeout", "echo 'ocf-exit-reason:waiting' >&2; sleep 100", time.Second, agents.Result{Status: agents.StatusTimeout, RC: 1, Reason: "timed out after 1s: waiting", Output: "ocf-exit-reason:waiting\n"}},
		{"signal", "kill -SEGV $$", 0, agents.Result{Status: agents.StatusError, RC: 1, Reason: "ended by signal 11 (segmentation fault)"}},
		{"not UTF-8", `printf 'caf\351\n'`, 0, agents.Result{Output: "caf\uFFFD\n"}},
		{"secret", `echo "password is $PW" >&2; echo "ocf-exit-reason:login with $PW" >&2; exit 1`, 0,
			agents.Result{RC: 1, Reason: "login with (secret)", Output: "password is (secret)\nocf-exit-reason:login with (secret)\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := request()
			if tt.timeout > 0 {
				req.Timeout = tt.timeout
			}
			secrets := map[string]agents.Secret{"pw": agents.NewSecret("hunter2")}
			got, exe := l.RunAgent(context.Background(), req, Program{Path: script(t, tt.text), SHA256: "x"}, Spec{Env: append(basic, "PW=hunter2")}, secrets, 100)
			if got.ID != "1" || got.ExecTime <= 0 || got.Finished.Sub(got.Started) != got.ExecTime || got.Started.Location() != time.UTC {
				t.Errorf("times = %+v", got)
			}
			if exe.PID == 0 || exe.SHA256 != "x" || strings.Join(exe.EnvNames, " ") != "PATH PW" || exe.UID != os.Geteuid() {
				t.Errorf("execution = %+v", exe)
			}
			got.ID, got.ExecTime, got.Started, got.Finished = "", 0, time.Time{}, time.Time{}
			if got != tt.want {
				t.Errorf("RunAgent() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRunAgent_CannotStart(t *testing.T) {
	l := launcher(t, "")
	path := script(t, "exit 0")
	for what, tt := range map[string]struct {
		change func()
		status agents.Status
		rc     agents.ExitCode
	}{
		"not executable": {func() { must(t, os.Chmod(path, 0o644)) }, agents.StatusError, agents.RCInsufficientPrivileges},
		"no format":      {func() { must(t, os.WriteFile(path, []byte("\x7fELFx"), 0o755)); must(t, os.Chmod(path, 0o755)) }, agents.StatusError, agents.RCInsufficientPrivileges},
	} {
		tt.change()
		got, _ := l.RunAgent(context.Background(), request(), Program{Path: path}, Spec{Env: basic}, nil, 100)
		if got.Status != tt.status || got.RC != tt.rc || got.Reason == "" {
			t.Errorf("%s: RunAgent() = %+v, want %v %v", what, got, tt.status, tt.rc)
		}
	}
	got, _ := l.RunAgent(context.Background(), request(), Program{Path: path + "x"}, Spec{Env: basic}, nil, 100)
	if got.Status != agents.StatusNotInstalled || got.RC != agents.RCNotInstalled {
		t.Errorf("missing: RunAgent() = %+v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got, _ = l.RunAgent(ctx, request(), Program{Path: path}, Spec{Env: basic}, nil, 100)
	if got.Status != agents.StatusCancelled {
		t.Errorf("cancelled: RunAgent() = %+v", got)
	}
}

// Wherever the end of the output is cut, no part of a secret remains.
func TestRedactor_CutAnywhere(t *testing.T) {
	t.Parallel()
	r := NewRedactor(map[string]agents.Secret{"a": agents.NewSecret("SECRETVALUE"), "b": agents.NewSecret("-----BEGIN\nlonglineofkey\nEND"), "c": agents.NewSecret("")})
	rapid.Check(t, func(t *rapid.T) {
		pad := rapid.StringMatching(`[a-z ]{0,30}`)
		text := pad.Draw(t, "a") + "SECRETVALUE" + pad.Draw(t, "b") + "longlineofkey" + pad.Draw(t, "c")
		text = strings.ReplaceAll(text, "longlineofkeylonglineofkey", "")
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		got := r.Mask([]byte(text[at:]), at > 0)
		for _, part := range []string{"SEC", "RET", "VAL", "LUE", "longlineofkey"} {
			if bytes.Contains(got, []byte(part)) {
				t.Fatalf("Mask(%q) = %q shows %q", text[at:], got, part)
			}
		}
	})
}

func TestRedactor_LeavesTheRest(t *testing.T) {
	t.Parallel()
	r := NewRedactor(map[string]agents.Secret{"a": agents.NewSecret("abab"), "b": agents.NewSecret("bc")})
	for _, tt := range []struct {
		text, want string
		cut        bool
	}{
		{"x abab y", "x (secret) y", false},
		{"ababab", "(secret)", false},
		{"ababc", "(secret)", false},
		{"bab start", "bab start", false},
		{"bab start", "(secret) start", true},
		{"start ab", "start ab", true},
		{"", "", true},
	} {
		if got := string(r.Mask([]byte(tt.text), tt.cut)); got != tt.want {
			t.Errorf("Mask(%q, %v) = %q, want %q", tt.text, tt.cut, got, tt.want)
		}
	}
}
