package shell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// connect returns the backend: what the shell was told to use, else what the environment chooses.
func (s *Shell) connect() editor.Backend {
	if s.backend == nil {
		s.backend = s.source()
	}
	return s.backend
}

// source is the backend behind shadows: the cluster, or the file that CIB_file names.
func (s *Shell) source() editor.Backend {
	if name := s.cfg.Getenv("CIB_file"); name != "" {
		return &editor.File{Path: name}
	}
	return &editor.Live{Client: client.New(s.socket())}
}

func (s *Shell) socket() string {
	if s.opts.socket != "" {
		return s.opts.socket
	}
	return client.Socket(s.cfg.Getenv)
}

// live returns the client of the node's API, or an error that says why a file will not do.
func (s *Shell) live() (*client.Client, error) {
	b, ok := s.connect().(*editor.Live)
	if !ok {
		if s.shadow != "" {
			return nil, hint(fmt.Errorf("this needs a running cluster, and the shadow %s is in use", s.shadow), "\"cib use\" goes back to the cluster")
		}
		return nil, errors.New("this needs a running cluster, and CIB_file is set: the commands work on a file now")
	}
	return b.Client, nil
}

// liveState fetches the newest state of the cluster.
func (s *Shell) liveState(ctx context.Context) (*command.State, error) {
	cl, err := s.live()
	if err != nil {
		return nil, err
	}
	st, err := cl.State(ctx, false)
	return st, explain(err)
}

// load fetches the newest document.
func (s *Shell) load(ctx context.Context) (*editor.Snapshot, error) {
	snap, err := s.connect().Load(ctx)
	return snap, explain(err)
}

// store commits changes of base.
func (s *Shell) store(ctx context.Context, base *editor.Snapshot, changes []cib.Change, message string, force bool) error {
	return explain(s.connect().Commit(ctx, base, changes, editor.Options{Message: message, Force: force}))
}

// explain adds what to do next to errors of the cluster.
func explain(err error) error {
	var e *client.Error
	var invalid *editor.InvalidError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrNotRunning):
		return hint(err, "start it with \"crm cluster start\", or work on a file with CIB_file=FILE")
	case errors.Is(err, client.ErrSilent):
		return hint(err, "the process is stopped or stuck: look at its log, and ask another node (\"crm status\" there)")
	case errors.Is(err, client.ErrEnded):
		return hint(err, "it is started again by itself; before you repeat a change, look whether it was made (\"crm revisions\")")
	case errors.Is(err, editor.ErrNoCluster):
		return hint(err, "crm cluster init, or crm cluster join TOKEN")
	case errors.As(err, &e) && e.Reply.Hint != "":
		return hint(err, "%s", e.Reply.Hint)
	case errors.As(err, &invalid):
		out := &errorList{}
		for i := range invalid.Problems {
			out.errs = append(out.errs, errors.New(invalid.Problems[i].String()))
		}
		if invalid.Merged {
			return fmt.Errorf("merged with what others have changed since: %w", out)
		}
		return out
	}
	return err
}

// checkChange returns the errors that a change brings.
func checkChange(before, after *cib.Document) error { return explain(editor.Check(before, after)) }

// promptTime bounds what completion waits for.
const promptTime = 300 * time.Millisecond

// change lets edit change a copy of the document, and commits the difference.
func (s *Shell) change(ctx context.Context, message string, edit func(doc *cib.Document) error) error {
	return s.changeOne(ctx, client.Scope{}, message, edit)
}

// changeOne is change for an edit that reads and changes the object of the scope only.
func (s *Shell) changeOne(ctx context.Context, scope client.Scope, message string, edit func(doc *cib.Document) error) error {
	if s.opts.message != "" {
		message = s.opts.message
	}
	if _, err := editor.Change(ctx, s.connect(), editor.Options{Message: message, Force: s.opts.force, Scope: scope}, edit); err != nil {
		return explain(err)
	}
	if s.opts.wait {
		return s.waitIdle(ctx, 0)
	}
	return nil
}
