// Package editor changes a configuration as one step: fetch it, edit a copy, propose the difference object by
// object, and merge with what others changed meanwhile. The crm shell and the compatibility tools use it, on the
// cluster behind the API socket (Live) or on a CIB in a file (File).
//
// Values of this package belong to one goroutine; several may work on one cluster or file at a time.
package editor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Snapshot is the document that a change starts from. It is not changed.
type Snapshot struct {
	Doc   *cib.Document
	State *command.State // of the cluster; nil for a file
	data  []byte         // of a file
	old   bool           // there may be a newer one already, or more
}

// A Backend holds the configuration: Live or File.
type Backend interface {
	// Name is what a prompt shows, such as "live/alpha".
	Name(ctx context.Context) string
	// Load fetches the newest document.
	Load(ctx context.Context) (*Snapshot, error)
	// configuration fetches the configuration for one small change, where it saves work without the status; quick
	// prefers what is at hand, and no more than the scope, to all of the newest.
	configuration(ctx context.Context, scope client.Scope, quick bool) (*Snapshot, error)
	// Commit applies changes that were made to base, merged with what others changed in other parts. A
	// *ConflictError says that somebody changed the same part since; Force overrides that.
	Commit(ctx context.Context, base *Snapshot, changes []cib.Change, opts Options) error
}

// Options of a change.
type Options struct {
	Message string // why; goes into the record of the change
	Force   bool   // overwrite what somebody else changed meanwhile
	// Scope, where it is set, says that the edit reads and changes one object only, so that Change need not fetch all.
	Scope client.Scope
}

// ErrNoCluster says that the node runs and belongs to no cluster.
var ErrNoCluster = errors.New("this node is in no cluster yet")

// ConflictError says that objects were changed by somebody else since they were loaded.
type ConflictError struct {
	Objects []string // keys
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("somebody else has changed %s since you loaded it", strings.Join(e.Objects, ", "))
}

// InvalidError says that a change would bring errors into the configuration.
type InvalidError struct {
	Problems []cib.Problem // at least one
	Merged   bool          // they come from merging with what others have changed
}

// Error implements error.
func (e *InvalidError) Error() string {
	list := make([]string, len(e.Problems))
	for i := range e.Problems {
		list[i] = e.Problems[i].String()
	}
	text := strings.Join(list, "; ")
	if e.Merged {
		return "merged with what others have changed since: " + text
	}
	return text
}

// maxTries bounds how often a change is tried again on a configuration that others change at the same time.
const maxTries = 20

// Change loads the configuration, lets edit change a copy, and commits the difference; when somebody else changes the
// same objects at the same time, again on the newest. changed is false when there was no difference. An error of
// edit ends it. On a live cluster edit gets no status, and may be called once on what this node has, or just on the
// object of the scope, before it is called on what the cluster has: a change that is based on something old or breaks
// something out of sight is refused and made again, so most changes need not wait for the leader twice. With Force less is
// refused, so it starts from the newest.
func Change(ctx context.Context, b Backend, opts Options, edit func(doc *cib.Document) error) (changed bool, err error) {
	for try := 0; ; try++ {
		base, err := b.configuration(ctx, opts.Scope, try == 0 && !opts.Force)
		if err != nil {
			return false, err
		}
		changes, err := difference(base.Doc, edit)
		if base.old && (err != nil || len(changes) == 0) {
			continue // it may be otherwise by now, or elsewhere
		}
		if err != nil || len(changes) == 0 {
			return false, err
		}
		err = b.Commit(ctx, base, changes, opts)
		if base.old && refused(err) {
			continue
		}
		var conflict *ConflictError
		if errors.As(err, &conflict) && try < maxTries {
			continue // one small change: made again on what is there now
		}
		return err == nil, err
	}
}

// refused reports whether the cluster found that a change makes no sense.
func refused(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Reply.Code == api.CodeRefused
}

// difference is what edit changes in a document, which is left as it is.
func difference(base *cib.Document, edit func(doc *cib.Document) error) ([]cib.Change, error) {
	doc := base.Clone()
	if err := edit(doc); err != nil {
		return nil, err
	}
	changes := cib.Diff(base, doc)
	if len(changes) == 0 {
		return nil, nil
	}
	return changes, Check(base, doc)
}

// Check returns an *InvalidError with the errors that a change brings; those that were there before are not its
// fault.
func Check(before, after *cib.Document) error {
	list := Errors(before, after)
	if len(list) == 0 {
		return nil
	}
	for i := range list {
		list[i].Pos = cib.Pos{} // the place in a file that is not shown
	}
	return &InvalidError{Problems: list}
}

// Errors returns the errors that a change brings, with their places where after was read from a text.
func Errors(before, after *cib.Document) []cib.Problem {
	problems := cib.Check(after)
	if !cib.HasErrors(problems) {
		return nil
	}
	known := make(map[string]bool)
	for _, p := range cib.Check(before) {
		known[p.Where+p.Text] = true
	}
	var out []cib.Problem
	for _, p := range problems {
		if p.Severity == cib.Error && !known[p.Where+p.Text] {
			out = append(out, p)
		}
	}
	return out
}
