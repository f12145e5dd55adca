package compat

import (
	"errors"
	"fmt"
	"os"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
)

// Exit codes of the tools, as Pacemaker documents them.
const (
	exitOK            = 0
	exitError         = 1
	exitInvalid       = 2
	exitUnimplemented = 3
	exitNoPermission  = 4
	exitUsage         = 64
	exitDataErr       = 65
	exitNoInput       = 66
	exitUnavailable   = 69
	exitCantCreate    = 73
	exitIOErr         = 74
	exitConfig        = 78
	exitNotConnected  = 102
	exitNoSuch        = 105
	exitUnsafe        = 107
	exitExists        = 108
	exitMultiple      = 109
	exitExpired       = 110
	exitNotYet        = 111
	exitUnsatisfied   = 113
	exitTimeout       = 124
)

// namedCode is a code with its name and meaning.
type namedCode struct {
	code       int
	name, text string
}

// exitCodes are all exit codes of the tools and of agents.
var exitCodes = []namedCode{
	{0, "CRM_EX_OK", "OK"},
	{1, "CRM_EX_ERROR", "Error occurred"},
	{2, "CRM_EX_INVALID_PARAM", "Invalid parameter"},
	{3, "CRM_EX_UNIMPLEMENT_FEATURE", "Unimplemented"},
	{4, "CRM_EX_INSUFFICIENT_PRIV", "Insufficient privileges"},
	{5, "CRM_EX_NOT_INSTALLED", "Not installed"},
	{6, "CRM_EX_NOT_CONFIGURED", "Not configured"},
	{7, "CRM_EX_NOT_RUNNING", "Not running"},
	{8, "CRM_EX_PROMOTED", "Promoted"},
	{9, "CRM_EX_FAILED_PROMOTED", "Failed in promoted role"},
	{64, "CRM_EX_USAGE", "Incorrect usage"},
	{65, "CRM_EX_DATAERR", "Invalid data given"},
	{66, "CRM_EX_NOINPUT", "Input file not available"},
	{67, "CRM_EX_NOUSER", "User does not exist"},
	{68, "CRM_EX_NOHOST", "Host does not exist"},
	{69, "CRM_EX_UNAVAILABLE", "Necessary service unavailable"},
	{70, "CRM_EX_SOFTWARE", "Internal software bug"},
	{71, "CRM_EX_OSERR", "Operating system error occurred"},
	{72, "CRM_EX_OSFILE", "System file not available"},
	{73, "CRM_EX_CANTCREAT", "Cannot create output file"},
	{74, "CRM_EX_IOERR", "I/O error occurred"},
	{75, "CRM_EX_TEMPFAIL", "Temporary failure, try again"},
	{76, "CRM_EX_PROTOCOL", "Protocol violated"},
	{77, "CRM_EX_NOPERM", "Insufficient privileges"},
	{78, "CRM_EX_CONFIG", "Invalid configuration"},
	{100, "CRM_EX_FATAL", "Fatal error occurred, will not respawn"},
	{101, "CRM_EX_PANIC", "System panic required"},
	{102, "CRM_EX_DISCONNECT", "Not connected"},
	{103, "CRM_EX_OLD", "Update was older than existing configuration"},
	{104, "CRM_EX_DIGEST", "Digest mismatch"},
	{105, "CRM_EX_NOSUCH", "No such object"},
	{106, "CRM_EX_QUORUM", "Quorum required"},
	{107, "CRM_EX_UNSAFE", "Operation not safe"},
	{108, "CRM_EX_EXISTS", "Requested item already exists"},
	{109, "CRM_EX_MULTIPLE", "Multiple items match request"},
	{110, "CRM_EX_EXPIRED", "Requested item has expired"},
	{111, "CRM_EX_NOT_YET_IN_EFFECT", "Requested item is not yet in effect"},
	{112, "CRM_EX_INDETERMINATE", "Could not determine status"},
	{113, "CRM_EX_UNSATISFIED", "Not applicable under current conditions"},
	{124, "CRM_EX_TIMEOUT", "Timeout occurred"},
	{190, "CRM_EX_DEGRADED", "Service is active but might fail soon"},
	{191, "CRM_EX_DEGRADED_PROMOTED", "Service is promoted but might fail soon"},
	{193, "CRM_EX_NONE", "No exit status available"},
}

// resultCodes are the codes of Pacemaker's own that crm_error knows beside those of the system.
var resultCodes = []namedCode{}

func findCode(list []namedCode, code int) (namedCode, bool) {
	for _, c := range list {
		if c.code == code {
			return c, true
		}
	}
	return namedCode{code: code}, false
}

// exitText says what an exit code means.
func exitText(code int) string {
	c, ok := findCode(exitCodes, code)
	if !ok {
		return "Unknown exit status"
	}
	return c.text
}

// codeError is an error with the exit code of the tool. A nil err means that everything was said already.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

func coded(code int, format string, a ...any) error {
	return &codeError{code, fmt.Errorf(format, a...)}
}

// exitCode is what a tool ends with after err.
func exitCode(err error) int {
	var e *client.Error
	var c *codeError
	var invalid *editor.InvalidError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, errNotSet):
		return exitNoSuch
	case errors.As(err, &invalid):
		return exitConfig
	case errors.Is(err, client.ErrNotRunning):
		return exitNotConnected
	case errors.As(err, &e) && e.Reply.Code == api.CodeDenied:
		return exitNoPermission
	case errors.As(err, &e) && (e.Reply.Code == api.CodeNoQuorum || e.Reply.Code == api.CodeUnknown):
		return exitTimeout
	case os.IsNotExist(err):
		return exitNoInput
	}
	return exitError
}
