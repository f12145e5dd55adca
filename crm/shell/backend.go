package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
)

// snapshot is the document that a change starts from.
type snapshot struct {
	doc   *cib.Document
	state *command.State // of the cluster; nil for a file
	data  []byte         // of a file
}

// A Backend holds the configuration.
type Backend interface {
	// Name is what the prompt shows, such as "live/alpha".
	Name(ctx context.Context) string
	// Load fetches the newest document.
	Load(ctx context.Context) (*snapshot, error)
	// Commit applies changes that were made to base. A *conflictError says that somebody changed the same
	// objects since; force overrides that.
	Commit(ctx context.Context, base *snapshot, changes []cib.Change, message string, force bool) error
}

// conflictError says that objects were changed by somebody else since they were loaded.
type conflictError struct{ objects []string }

func (e *conflictError) Error() string {
	return fmt.Sprintf("somebody else has changed %s since you loaded it", strings.Join(e.objects, ", "))
}

// connect returns the backend, which the environment chooses.
func (s *Shell) connect() Backend {
	if s.backend == nil {
		if name := s.cfg.Getenv("CIB_file"); name != "" {
			s.backend = &fileBackend{name: name}
		} else {
			s.backend = &liveBackend{client: client.New(s.socket()), socket: s.socket()}
		}
	}
	return s.backend
}

func (s *Shell) socket() string {
	if s.opts.socket != "" {
		return s.opts.socket
	}
	return client.Socket(s.cfg.Getenv)
}

// live returns the client of the node's API, or an error that says why a file will not do.
func (s *Shell) live() (*client.Client, error) {
	b, ok := s.connect().(*liveBackend)
	if !ok {
		return nil, errors.New("this needs a running cluster, and CIB_file is set: the commands work on a file now")
	}
	return b.client, nil
}

// explain adds what to do next to errors of the API.
func explain(err error) error {
	var e *client.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrNotRunning):
		return hint(err, "start it with \"crm cluster start\", or work on a file with CIB_file=FILE")
	case errors.As(err, &e) && e.Reply.Hint != "":
		return hint(err, "%s", e.Reply.Hint)
	}
	return err
}

// fileBackend is a CIB in a file.
type fileBackend struct{ name string }

func (b *fileBackend) Name(context.Context) string { return filepath.Base(b.name) }

// maxFile bounds a CIB file.
const maxFile = 512 << 20

func (b *fileBackend) Load(context.Context) (*snapshot, error) {
	if st, err := os.Stat(b.name); err != nil {
		return nil, fmt.Errorf("read the CIB: %w", err)
	} else if st.Size() > maxFile {
		return nil, fmt.Errorf("read the CIB: %s has %d bytes, at most %d", b.name, st.Size(), maxFile)
	}
	data, err := os.ReadFile(b.name)
	if err != nil {
		return nil, fmt.Errorf("read the CIB: %w", err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return &snapshot{doc: doc, data: data}, nil
}

func (b *fileBackend) Commit(ctx context.Context, base *snapshot, changes []cib.Change, message string, force bool) error {
	now, err := b.Load(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(now.data, base.data) && !force {
		var both []string
		if changes, both = mergeChanges(base.doc, now.doc, changes); len(both) > 0 {
			return &conflictError{both}
		}
	}
	doc, err := cib.Apply(now.doc, changes)
	if err != nil {
		return err
	}
	out := *doc
	out.Head.Epoch++
	out.Head.NumUpdates = 0
	return writeFile(b.name, cibxml.Write(&out, cibxml.Options{NoDeclaration: !bytes.HasPrefix(now.data, []byte("<?xml"))}))
}

// writeFile replaces a file in one step, with the mode and owner that it had.
func writeFile(name string, data []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := os.FileMode(0o600)
	if st, err := os.Stat(name); err == nil {
		mode = st.Mode().Perm()
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", name)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// liveBackend is the cluster of this node.
type liveBackend struct {
	client *client.Client
	socket string
}

// promptTime bounds what a prompt waits for.
const promptTime = 300 * time.Millisecond

func (b *liveBackend) Name(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, promptTime)
	defer cancel()
	l, err := b.client.Local(ctx)
	if err != nil {
		return "offline"
	}
	if l.Node == "" {
		return "live"
	}
	return "live/" + l.Node
}

func (b *liveBackend) Load(ctx context.Context) (*snapshot, error) { return b.load(ctx, false) }

// load fetches the state: the newest of the cluster, or with stale what this node has.
func (b *liveBackend) load(ctx context.Context, stale bool) (*snapshot, error) {
	st, err := b.client.State(ctx, stale)
	if err != nil {
		return nil, explain(err)
	}
	if st.Document == nil {
		return nil, hint(errors.New("this node is in no cluster yet"), "crm cluster init, or crm cluster join TOKEN")
	}
	return &snapshot{doc: st.Document, state: st}, nil
}

// maxMerges bounds how often a commit is tried again on a configuration that others change at the same time.
const maxMerges = 20

func (b *liveBackend) Commit(ctx context.Context, base *snapshot, changes []cib.Change, message string, force bool) error {
	now, original := base, changes
	for try := 0; ; try++ {
		_, err := b.client.Propose(ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{
			Changes: changes, Based: based(now, changes), Message: message, Force: force}})
		var e *client.Error
		if err == nil || !errors.As(err, &e) || e.Reply.Code != api.CodeConflict || try >= maxMerges {
			return explain(err)
		}
		// Somebody changed an object that we touch or rely on. What does not overlap is merged.
		if now, err = b.Load(ctx); err != nil {
			return err
		}
		merged, both := mergeChanges(base.doc, now.doc, original)
		if len(both) > 0 {
			return &conflictError{both}
		}
		if changes = merged; len(changes) == 0 {
			return nil
		}
		doc, err := cib.Apply(now.doc, changes)
		if err != nil {
			return err
		}
		if err := newErrors(now.doc, doc); err != nil {
			return fmt.Errorf("merged with what others have changed since: %w", err)
		}
	}
}

// based lists the revisions of the objects that the changes touch and refer to.
func based(s *snapshot, changes []cib.Change) map[string]uint64 {
	out := make(map[string]uint64, len(changes))
	if s.state == nil {
		return out
	}
	for i := range changes {
		out[changes[i].Key()] = s.state.Objects[changes[i].Key()]
	}
	doc, err := cib.Apply(s.doc, changes)
	if err != nil {
		return out
	}
	// Where each resource stands: its top-level object is what a reference relies on.
	owner := make(map[string]string)
	for _, r := range doc.Config.Resources {
		key := cib.ObjectKey(cib.KindResource, r.ID)
		cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r}}, func(x, _ *cib.Resource) { owner[x.ID] = key })
	}
	changed := make(map[string]bool, len(changes))
	for i := range changes {
		changed[changes[i].Key()] = true
	}
	cib.EachReference(&doc.Config, func(r cib.Reference) {
		if !changed[cib.ObjectKey(r.Kind, r.ID)] {
			return
		}
		if key := owner[r.To]; key != "" && (r.Target == cib.ToResource || r.Target == cib.ToTemplate) {
			if _, had := out[key]; !had {
				out[key] = s.state.Objects[key]
			}
		}
	})
	return out
}

// change loads the document, lets edit change a copy, and commits the difference.
func (s *Shell) change(ctx context.Context, message string, edit func(doc *cib.Document) error) error {
	if s.opts.message != "" {
		message = s.opts.message
	}
	b := s.connect()
	for try := 0; ; try++ {
		base, err := b.Load(ctx)
		if err != nil {
			return err
		}
		doc := base.doc.Clone()
		if err := edit(doc); err != nil {
			return err
		}
		changes := cib.Diff(base.doc, doc)
		if len(changes) == 0 {
			if s.opts.wait {
				return s.waitIdle(ctx, 0)
			}
			return nil
		}
		if err := newErrors(base.doc, doc); err != nil {
			return err
		}
		err = b.Commit(ctx, base, changes, message, s.opts.force)
		var conflict *conflictError
		if errors.As(err, &conflict) && try < maxMerges {
			continue // one small change: made again on what is there now
		}
		if err == nil && s.opts.wait {
			return s.waitIdle(ctx, 0)
		}
		return err
	}
}

// newErrors returns the errors that a change brings; those that were there before are not its fault.
func newErrors(before, after *cib.Document) error {
	problems := cib.Check(after)
	if !cib.HasErrors(problems) {
		return nil
	}
	known := make(map[string]bool)
	for _, p := range cib.Check(before) {
		known[p.Where+p.Text] = true
	}
	var list []error
	for _, p := range problems {
		if p.Severity == cib.Error && !known[p.Where+p.Text] {
			p.Pos = cib.Pos{}
			list = append(list, errors.New(p.String()))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &errorList{list}
}
