// Package agents holds the types that describe resource and fence agents: which agent (Ref), what it is
// asked (Request), what came of it (Result), what it says of itself (Metadata), and the environment that
// the OCF standard demands (Environment).
//
// The package starts nothing and reads nothing; agents/runner and the class packages (agents/ocf and its
// likes) do. It is pure: no clock, no environment, no goroutine. All types are values; a value that is not
// changed may be used by several goroutines at once.
//
// Units: times are time.Duration. Sizes are bytes.
package agents

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Classes of agents. An unknown class is refused, not skipped.
const (
	ClassOCF     = "ocf"
	ClassSystemd = "systemd"
	ClassLSB     = "lsb"
	ClassService = "service" // systemd or lsb, whichever has it
	ClassFence   = "stonith"
)

// MaxNameLength bounds the class, provider and type of an agent, names of parameters and names of
// resources, in bytes. The API applies the same bound.
const MaxNameLength = 128

// ErrName is in the chain of every error about a name that is not allowed.
var ErrName = errors.New("name not allowed")

// Ref names an agent. Provider is used by class ocf alone.
type Ref struct {
	Class    string `cbor:"1,keyasint"`
	Provider string `cbor:"2,keyasint,omitempty"`
	Type     string `cbor:"3,keyasint"`
}

// String is the usual form, CLASS:PROVIDER:TYPE or CLASS:TYPE.
func (r Ref) String() string {
	if r.Provider == "" {
		return r.Class + ":" + r.Type
	}
	return r.Class + ":" + r.Provider + ":" + r.Type
}

// ParseRef reads CLASS:PROVIDER:TYPE (class ocf) or CLASS:TYPE (the others). "ocf:TYPE" means provider
// heartbeat, as in the crm shell; a text without a class means class ocf and provider heartbeat too.
func ParseRef(text string) (Ref, error) {
	if len(text) > 3*MaxNameLength+2 {
		return Ref{}, fmt.Errorf("agent of %d bytes: at most %d: %w", len(text), 3*MaxNameLength+2, ErrName)
	}
	class, rest, found := strings.Cut(text, ":")
	if !found {
		class, rest = ClassOCF, text
	}
	r := Ref{Class: class, Type: rest}
	if class == ClassOCF {
		provider, kind, found := strings.Cut(rest, ":")
		if !found {
			provider, kind = "heartbeat", rest
		}
		r.Provider, r.Type = provider, kind
	}
	if err := r.Validate(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// Validate reports whether the reference can name an agent at all. It knows nothing of files.
func (r Ref) Validate() error {
	switch r.Class {
	case ClassOCF:
		if err := ValidateName("agent provider", r.Provider); err != nil {
			return err
		}
		return ValidateName("agent type", r.Type)
	case ClassLSB, ClassFence:
		if r.Provider != "" {
			return fmt.Errorf("agent %q: class %s has no provider: %w", r.String(), r.Class, ErrName)
		}
		return ValidateName("agent type", r.Type)
	case ClassSystemd, ClassService:
		if r.Provider != "" {
			return fmt.Errorf("agent %q: class %s has no provider: %w", r.String(), r.Class, ErrName)
		}
		return validateUnit(r.Type)
	case "":
		return fmt.Errorf("agent %q has no class: expected ocf:PROVIDER:TYPE, systemd:UNIT, lsb:NAME, service:NAME or stonith:NAME: %w", r.String(), ErrName)
	default:
		return fmt.Errorf("agent class %q is unknown: expected ocf, systemd, lsb, service or stonith: %w", bounded(r.Class), ErrName)
	}
}

// ValidateName checks a name against [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}; what says in the error which name
// it is. The rule keeps names usable as file names, unit names and environment variables without quoting.
func ValidateName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s is empty: %w", what, ErrName)
	}
	if len(name) > MaxNameLength {
		return fmt.Errorf("%s %q has %d bytes: at most %d: %w", what, bounded(name), len(name), MaxNameLength, ErrName)
	}
	for i := range len(name) {
		c := name[i]
		if isAlnum(c) || c == '_' || i > 0 && (c == '.' || c == '-') {
			continue
		}
		return fmt.Errorf("%s %q: byte %d (%q) is not allowed: use letters, digits and _, and after the first . and -: %w", what, bounded(name), i+1, c, ErrName)
	}
	return nil
}

// ValidateInstance checks the name of a resource instance: a name as in ValidateName, for a clone instance
// followed by a colon and a number.
func ValidateInstance(name string) error {
	base, number, clone := strings.Cut(name, ":")
	if clone {
		if number == "" || len(number) > 9 || strings.Trim(number, "0123456789") != "" {
			return fmt.Errorf("resource %q: after the colon stands the number of a clone instance: %w", bounded(name), ErrName)
		}
	}
	return ValidateName("resource", base)
}

// validateUnit allows what systemd allows in unit names, which is more than ValidateName does.
func validateUnit(name string) error {
	if name == "" {
		return fmt.Errorf("unit name is empty: %w", ErrName)
	}
	if len(name) > MaxNameLength {
		return fmt.Errorf("unit %q has %d bytes: at most %d: %w", bounded(name), len(name), MaxNameLength, ErrName)
	}
	for i := range len(name) {
		c := name[i]
		if isAlnum(c) || c == '_' || i > 0 && strings.IndexByte(`.-@\:`, c) >= 0 {
			continue
		}
		return fmt.Errorf(`unit %q: byte %d (%q) is not allowed: use letters, digits and _.-@\: : %w`, bounded(name), i+1, c, ErrName)
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// bounded cuts a foreign text for use in an error.
func bounded(s string) string {
	const limit = 200 // enough to recognise it; errors travel into logs and replies
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

// Operation is what an agent can be asked to do.
type Operation string

// Operations of resource agents.
const (
	OpStart       Operation = "start"
	OpStop        Operation = "stop"
	OpMonitor     Operation = "monitor"
	OpPromote     Operation = "promote"
	OpDemote      Operation = "demote"
	OpMigrateTo   Operation = "migrate_to"
	OpMigrateFrom Operation = "migrate_from"
	OpNotify      Operation = "notify"
	OpReload      Operation = "reload"       // OCF 1.0: the service reads its own configuration again
	OpReloadAgent Operation = "reload-agent" // OCF 1.1: the agent takes over changed parameters
	OpValidateAll Operation = "validate-all"
	OpMetadata    Operation = "meta-data"
)

// Further operations of fence agents, which also know monitor, meta-data (there: metadata) and validate-all.
const (
	OpOn     Operation = "on"
	OpOff    Operation = "off"
	OpReboot Operation = "reboot"
	OpStatus Operation = "status"
	OpList   Operation = "list"
)

// Validate reports whether the operation has a name that an agent may be given. Agents may have operations
// of their own, so every well-formed name passes; the class refuses what it cannot do.
func (o Operation) Validate() error {
	return ValidateName("operation", string(o))
}

// Agent runs the operations of one class of agents. The runner calls it from several goroutines at once.
type Agent interface {
	// Run carries out the request and returns when the operation has ended, at the latest a few seconds
	// after its timeout. What went wrong is in the result; ending ctx cancels the operation. The secrets
	// are parameters too, kept apart so that no other part of the program sees their values.
	Run(ctx context.Context, req Request, secrets map[string]Secret) (Result, Execution)
	// Metadata returns the XML text that the agent says of itself.
	Metadata(ctx context.Context, ref Ref) ([]byte, error)
	// List returns the agents of this class that are here, sorted.
	List(ctx context.Context) ([]Ref, error)
}

// Secret is a value which must not be shown. It has no method that prints it; Reveal is the only way out.
// The zero Secret is the empty text.
type Secret struct {
	value *string // a pointer, because fmt prints the fields of an argument for a bad verb without asking Format
}

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value, for handing it to the one process that needs it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String returns a mask.
func (s Secret) String() string { return "(secret)" }

// GoString returns a mask.
func (s Secret) GoString() string { return "(secret)" }

// Format writes a mask whatever the verb is, so that no verb reaches the field.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") }

// errSecret answers every attempt to encode a secret.
var errSecret = errors.New("a secret cannot be encoded")

// MarshalText refuses: a secret is never encoded.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON refuses: a secret is never encoded.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// MarshalBinary refuses: a secret is never encoded.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errSecret }
