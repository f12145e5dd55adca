package agents

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ExitCode is the exit code of an agent by the OCF standard, 0 to 255.
type ExitCode int

// Exit codes (spec/02-state.md section 8.1).
const (
	RCOK                     ExitCode = 0
	RCGeneric                ExitCode = 1
	RCInvalidParameter       ExitCode = 2
	RCUnimplemented          ExitCode = 3
	RCInsufficientPrivileges ExitCode = 4
	RCNotInstalled           ExitCode = 5
	RCNotConfigured          ExitCode = 6
	RCNotRunning             ExitCode = 7
	RCRunningPromoted        ExitCode = 8
	RCFailedPromoted         ExitCode = 9
	RCDegraded               ExitCode = 190
	RCDegradedPromoted       ExitCode = 191
	RCUnknown                ExitCode = 193 // no result yet
)

// String names the code in the words that status output uses.
func (c ExitCode) String() string {
	switch c {
	case RCOK:
		return "ok"
	case RCGeneric:
		return "error"
	case RCInvalidParameter:
		return "invalid parameter"
	case RCUnimplemented:
		return "unimplemented feature"
	case RCInsufficientPrivileges:
		return "insufficient privileges"
	case RCNotInstalled:
		return "not installed"
	case RCNotConfigured:
		return "not configured"
	case RCNotRunning:
		return "not running"
	case RCRunningPromoted:
		return "promoted"
	case RCFailedPromoted:
		return "promoted (failed)"
	case RCDegraded:
		return "degraded"
	case RCDegradedPromoted:
		return "promoted (degraded)"
	case RCUnknown:
		return "unknown"
	}
	return "exit code " + strconv.Itoa(int(c))
}

// Status says how an operation ended, as the operation history writes it (op-status). The numbers are
// those of spec/02-state.md section 8.1; the list is append-only.
type Status int

// Values of Status.
const (
	StatusPending       Status = -1
	StatusDone          Status = 0 // the agent ran and gave an exit code
	StatusCancelled     Status = 1
	StatusTimeout       Status = 2
	StatusNotSupported  Status = 3
	StatusError         Status = 4 // the operation could not be carried out
	StatusHardError     Status = 5
	StatusFatalError    Status = 6
	StatusNotInstalled  Status = 7
	StatusNotConnected  Status = 8
	StatusInvalid       Status = 9
	StatusNoFenceDevice Status = 10
	StatusNoSecrets     Status = 11
)

// String names the status in the words that status output uses.
func (s Status) String() string {
	names := [...]string{"pending", "complete", "cancelled", "timed out", "not supported", "error", "hard error",
		"fatal error", "not installed", "not connected", "invalid", "no fence device", "no secrets"}
	if i := int(s) + 1; i >= 0 && i < len(names) {
		return names[i]
	}
	return "status " + strconv.Itoa(int(s))
}

// Limits of a result, which travels through the log of the cluster and stays in its document.
const (
	// MaxReason bounds an exit reason; a reason is one line for people.
	MaxReason = 512
	// MaxOutput bounds the kept end of an agent's output: enough for the last messages of a shell script.
	MaxOutput = 4096
)

// Result is what came of a request. It is data, also where the operation failed.
type Result struct {
	ID        string        `cbor:"1,keyasint"` // of the request
	RC        ExitCode      `cbor:"2,keyasint"`
	Status    Status        `cbor:"3,keyasint"`
	Reason    string        `cbor:"4,keyasint,omitempty"` // why, one line; from the agent, or ours where it could not run
	Output    string        `cbor:"5,keyasint,omitempty"` // end of what it wrote, at most MaxOutput (for fence agents see fencing/device), valid UTF-8
	Truncated bool          `cbor:"6,keyasint,omitempty"` // it wrote more
	ExecTime  time.Duration `cbor:"7,keyasint,omitempty"` // of the agent itself
	QueueTime time.Duration `cbor:"8,keyasint,omitempty"` // waiting for its turn
	Started   time.Time     `cbor:"9,keyasint"`           // wall clock, UTC
	Finished  time.Time     `cbor:"10,keyasint"`
}

// Refused is the result of a request which was not carried out.
func Refused(req Request, status Status, rc ExitCode, reason string) Result {
	return Result{ID: req.ID, Status: status, RC: rc, Reason: CleanLine(reason, MaxReason)}
}

// Execution holds what an audit record says of a run besides the request and the result. Values of
// parameters are not in it.
type Execution struct {
	File         string   // path of the program, "" if none was chosen
	SHA256       string   // of the program, lower-case hex
	Args         []string // after the program name
	EnvNames     []string // names of the environment variables, sorted
	UID          int
	PID          int    // 0: nothing was started
	Cgroup       string // "" = none
	OutputSHA256 string // of all output, also of what was not kept
	OutputBytes  int64
	Killed       bool // the process tree was killed
	Leftover     int  // processes that did not die of it
}

// ReasonPrefix begins the lines of standard error by which an agent gives its exit reason.
const ReasonPrefix = "ocf-exit-reason:"

// ExitReason returns the last exit reason in what an agent wrote to standard error, "" if none. The text is
// valid UTF-8, without control characters, and at most MaxReason bytes long.
func ExitReason(stderr []byte) string {
	text := string(stderr)
	for {
		i := strings.LastIndex(text, ReasonPrefix)
		if i < 0 {
			return ""
		}
		// Only at the start of a line: a traced shell prints the call as well.
		if i == 0 || text[i-1] == '\n' {
			line, _, _ := strings.Cut(text[i+len(ReasonPrefix):], "\n")
			return CleanLine(line, MaxReason)
		}
		text = text[:i]
	}
}

// CleanLine makes one bounded line of valid UTF-8 of a foreign text: control characters, bidirectional
// controls and line breaks become spaces, invalid bytes the replacement character.
func CleanLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return Head(strings.TrimSpace(text), limit)
}

// CleanText makes valid UTF-8 of a foreign text and keeps its last limit bytes. Line breaks and tabs stay,
// other control characters become spaces.
func CleanText(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > limit {
		text = text[len(text)-limit:]
		for len(text) > 0 && !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
	}
	return text
}

// Head returns the first limit bytes of a valid text, without cutting a character.
func Head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[:limit]
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r == utf8.RuneError && size <= 1 {
			text = text[:len(text)-1]
			continue
		}
		break
	}
	return text
}

// Describe says the outcome in one line for logs and errors.
func (r Result) Describe() string {
	text := r.Status.String()
	if r.Status == StatusDone {
		text = r.RC.String()
	}
	if r.Reason != "" {
		text = fmt.Sprintf("%s (%s)", text, r.Reason)
	}
	return text
}
