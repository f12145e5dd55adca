package subprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/agents"
)

// minSecretLine is the length from which a line of a secret of several lines is masked by itself.
const minSecretLine = 8

// Redactor masks secrets in output.
type Redactor struct {
	texts [][]byte
}

// NewRedactor masks the given secrets; of one with several lines (a key) also each longer line.
func NewRedactor(secrets map[string]agents.Secret) *Redactor {
	r := &Redactor{}
	add := func(s string) {
		if s != "" {
			r.texts = append(r.texts, []byte(s))
		}
	}
	for _, s := range secrets {
		add(s.Reveal())
		lines := strings.Split(s.Reveal(), "\n")
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(lines) > 1 && len(line) >= minSecretLine {
				add(line)
			}
		}
	}
	slices.SortFunc(r.texts, bytes.Compare)
	r.texts = slices.CompactFunc(r.texts, bytes.Equal)
	return r
}

// Mask replaces the secrets in the text. Where the text is the end of a longer one (cut), what may be the
// end of a secret at its beginning is replaced too.
func (r *Redactor) Mask(text []byte, cut bool) []byte {
	if len(r.texts) == 0 {
		return text
	}
	// Occurrences may overlap, so they are marked first and replaced afterwards.
	hidden := make([]bool, len(text))
	hide := func(from, to int) {
		for i := from; i < to; i++ {
			hidden[i] = true
		}
	}
	for _, s := range r.texts {
		for at, done := 0, 0; ; at++ {
			i := bytes.Index(text[at:], s)
			if i < 0 {
				break
			}
			at += i
			hide(max(at, done), at+len(s))
			done = at + len(s)
		}
		for n := min(len(s)-1, len(text)); cut && n > 0; n-- {
			if bytes.HasPrefix(text, s[len(s)-n:]) {
				hide(0, n)
				break
			}
		}
	}
	masked := make([]byte, 0, len(text))
	for i, c := range text {
		switch {
		case !hidden[i]:
			masked = append(masked, c)
		case i == 0 || !hidden[i-1]:
			masked = append(masked, "(secret)"...)
		}
	}
	return masked
}

// Tails that are kept of an agent's streams: more than a result takes, so that an exit reason followed by other
// messages is found, and masking has something to cut.
const resultTail = 16 << 10

// RunAgent runs a checked program for a request and turns the outcome into a result. Path, Timeout, Tail and
// Started of the spec are filled in from the arguments. Output takes at most output bytes in the result.
func (l *Launcher) RunAgent(ctx context.Context, req agents.Request, program Program, spec Spec, secrets map[string]agents.Secret, output int) (agents.Result, agents.Execution) {
	spec.Path, spec.Timeout, spec.Tail = program.Path, req.Timeout, max(resultTail, min(2*output, MaxTail))
	spec.Label = fmt.Sprintf("%s %s %s", req.Resource, req.Operation, req.ID)
	exe := agents.Execution{File: program.Path, SHA256: program.SHA256, Args: spec.Args, UID: os.Geteuid()}
	if spec.User != nil {
		exe.UID = int(spec.User.UID)
	}
	for _, v := range spec.Env {
		name, _, _ := strings.Cut(v, "=")
		exe.EnvNames = append(exe.EnvNames, name)
	}
	slices.Sort(exe.EnvNames)
	o, err := l.Exec(ctx, spec)
	if err != nil {
		if ctx.Err() != nil {
			return agents.Refused(req, agents.StatusCancelled, agents.RCUnknown, "cancelled before it was started"), exe
		}
		status, rc := startError(err)
		return agents.Refused(req, status, rc, err.Error()), exe
	}
	exe.PID, exe.Cgroup, exe.OutputSHA256 = o.PID, o.Cgroup, o.SHA256
	exe.OutputBytes, exe.Killed, exe.Leftover = o.Stdout.Total+o.Stderr.Total, o.Killed, o.Leftover

	redactor := NewRedactor(secrets)
	out := redactor.Mask(o.Stdout.Tail, o.Stdout.Total > int64(len(o.Stdout.Tail)))
	errText := redactor.Mask(o.Stderr.Tail, o.Stderr.Total > int64(len(o.Stderr.Tail)))
	text := append(slices.Clone(out), errText...)
	res := agents.Result{
		ID:        req.ID,
		Status:    agents.StatusDone,
		RC:        agents.ExitCode(o.Exit),
		Reason:    agents.ExitReason(errText),
		Output:    agents.CleanText(string(text), output),
		Truncated: exe.OutputBytes > int64(output),
		ExecTime:  o.Duration,
		Started:   o.Started.UTC().Round(0),
		Finished:  o.Started.Add(o.Duration).UTC().Round(0),
	}
	switch {
	case o.TimedOut:
		res.Status, res.RC = agents.StatusTimeout, agents.RCGeneric
		res.Reason = withReason(fmt.Sprintf("timed out after %v", req.Timeout), res.Reason)
	case o.Cancelled:
		res.Status, res.RC = agents.StatusCancelled, agents.RCUnknown
	case o.Signal != 0:
		res.Status, res.RC = agents.StatusError, agents.RCGeneric
		res.Reason = withReason(fmt.Sprintf("ended by signal %d (%v)", int(o.Signal), o.Signal), res.Reason)
	case o.Exit < 0:
		res.Status, res.RC = agents.StatusError, agents.RCGeneric
		res.Reason = withReason("its exit status is not known", res.Reason)
	}
	if o.Leftover > 0 {
		res.Reason = withReason(res.Reason, fmt.Sprintf("%d processes did not die of SIGKILL", o.Leftover))
	}
	return res, exe
}

func withReason(ours, agent string) string {
	if ours == "" || agent == "" {
		return agents.Head(ours+agent, agents.MaxReason)
	}
	return agents.Head(ours+": "+agent, agents.MaxReason)
}

// startError says which result a program gets that could not be started.
func startError(err error) (agents.Status, agents.ExitCode) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return agents.StatusNotInstalled, agents.RCNotInstalled // the file went away, or its interpreter is missing
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOEXEC):
		return agents.StatusError, agents.RCInsufficientPrivileges
	}
	return agents.StatusError, agents.RCGeneric
}

// FindResult says which result a request gets whose program was not found or is refused.
func FindResult(req agents.Request, err error) agents.Result {
	if errors.Is(err, ErrNotFound) {
		return agents.Refused(req, agents.StatusNotInstalled, agents.RCNotInstalled, err.Error())
	}
	return agents.Refused(req, agents.StatusError, agents.RCInsufficientPrivileges, err.Error())
}

// MetadataTimeout bounds the run of an agent that is asked for its metadata, where nobody said otherwise.
// Agents in Python take a second on a busy machine.
const MetadataTimeout = 30 * time.Second

// maxCachedMetadata bounds the remembered metadata: 10 KiB each usually, 1 MiB at most.
const maxCachedMetadata = 256

// MetadataCache asks agents for their metadata and remembers it until the program file changes. The zero value
// is ready; it may be used by several goroutines.
type MetadataCache struct {
	mu    sync.Mutex
	texts map[string][]byte // by path and SHA-256
}

// Get returns what the program prints when it is run as the spec says; Path, Timeout, Head and Tail of the
// spec are filled in. A program that fails, does not answer or prints too much gives agents.ErrMetadata.
func (c *MetadataCache) Get(ctx context.Context, l *Launcher, ref agents.Ref, program Program, spec Spec) ([]byte, error) {
	key := program.Path + " " + program.SHA256
	c.mu.Lock()
	text, found := c.texts[key]
	c.mu.Unlock()
	if found {
		return text, nil
	}
	spec.Path, spec.Timeout = program.Path, MetadataTimeout
	spec.Head, spec.Tail = agents.MaxMetadata+1, agents.MaxReason
	spec.Label = fmt.Sprintf("metadata of %s", ref)
	o, err := l.Exec(ctx, spec)
	switch {
	case err != nil:
		return nil, fmt.Errorf("metadata of %s: %w", ref, err)
	case o.Cancelled:
		return nil, fmt.Errorf("metadata of %s: %w", ref, ctx.Err())
	case o.TimedOut:
		return nil, fmt.Errorf("metadata of %s: no answer within %v: %w", ref, spec.Timeout, agents.ErrMetadata)
	case o.Exit != 0:
		return nil, fmt.Errorf("metadata of %s: the agent ended with code %d (%s): %w", ref, o.Exit, agents.CleanLine(string(o.Stderr.Tail), agents.MaxReason), agents.ErrMetadata)
	case o.Stdout.Total > agents.MaxMetadata:
		return nil, fmt.Errorf("metadata of %s: %d bytes: at most %d: %w", ref, o.Stdout.Total, agents.MaxMetadata, agents.ErrMetadata)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.texts) >= maxCachedMetadata || c.texts == nil {
		c.texts = map[string][]byte{}
	}
	c.texts[key] = o.Stdout.Head
	return o.Stdout.Head, nil
}
