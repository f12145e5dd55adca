package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/version"
)

// askTimeout bounds how long a tool waits for the daemon: agents have timeouts of their own.
const askTimeout = 30 * time.Second

var (
	errNeedsCluster = errors.New("this needs a running cluster, and CIB_file is set")
	errNotSet       = errors.New("no such attribute, option or node")
)

// cluster is what a tool works on: the running cluster, or the file that CIB_file names.
type cluster struct {
	ctx     context.Context
	backend editor.Backend
	client  *client.Client // nil = file
	state   *command.State // nil with a file
	doc     *cib.Document
}

// open loads the document. The returned function ends the work.
func open() (*cluster, func(), error) { return openWith(false) }

// openWith is open, or with stale what this node has without asking the leader.
func openWith(stale bool) (*cluster, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	c := &cluster{ctx: ctx}
	if file := os.Getenv("CIB_file"); file != "" {
		c.backend = &editor.File{Path: file}
	} else {
		c.client = client.New(client.Socket(os.Getenv))
		c.backend = &editor.Live{Client: c.client}
	}
	load := c.backend.Load
	if live, ok := c.backend.(*editor.Live); ok && stale {
		load = func(ctx context.Context) (*editor.Snapshot, error) { return live.Fetch(ctx, true) }
	}
	snap, err := load(ctx)
	if err != nil {
		cancel()
		switch {
		case errors.Is(err, editor.ErrNoCluster):
			err = fmt.Errorf("%w: %w", client.ErrNotRunning, err)
		case errors.Is(err, fs.ErrPermission) && c.client != nil:
			err = coded(exitNoPermission, "you may not talk to the cluster: run it as root, or have the administrator put you into the group that may read (%w)", err)
		}
		return nil, nil, err
	}
	c.state, c.doc = snap.State, snap.Doc
	return c, cancel, nil
}

// local returns what this node sees; with a file there is no such node.
func (c *cluster) local() (*api.Local, error) {
	if c.client == nil {
		return nil, errNeedsCluster
	}
	return c.client.Local(c.ctx)
}

// node returns name, or when it is empty the node on which the tool runs: an agent's node, or the daemon's.
func (c *cluster) node(name string) (string, error) {
	if name != "" && name != "auto" && name != "localhost" {
		return name, nil
	}
	if name = os.Getenv("OCF_RESKEY_CRM_meta_on_node"); name != "" {
		return name, nil
	}
	l, err := c.local()
	if err != nil {
		return "", err
	}
	return l.Node, nil
}

// attributeValues are the newest values of a transient attribute, as command.State.AttributeValues has them.
func (c *cluster) attributeValues(name string) (values []command.AttributeValue, known bool) {
	s := c.state
	if s == nil {
		s = &command.State{Document: c.doc}
	}
	return s.AttributeValues(name)
}

// setTransient changes a transient attribute, in a file at once and without a dampening. What is so already is not
// written again: agents set the same value with each monitor, and an idle cluster writes nothing.
func (c *cluster) setTransient(a command.Attribute) error {
	values, _ := c.attributeValues(a.Name)
	i := slices.IndexFunc(values, func(v command.AttributeValue) bool { return v.Node == a.Node })
	same := a.Delete && i < 0 || !a.Delete && i >= 0 && values[i].Value == a.Value
	switch {
	case same && !a.SetDelay && !a.Write:
		return nil
	case c.client != nil:
		return c.propose(&command.Entry{Kind: command.KindAttributes, Attributes: []command.Attribute{a}})
	case a.Private:
		return errors.New("private attributes need a running cluster, and CIB_file is set")
	case a.Write || a.KeepValue:
		return nil // nothing waits in a file
	}
	return c.editStatus(func(doc *cib.Document, ed *cib.Editor) error {
		i, err := nodeState(doc, ed, a.Node)
		if err != nil {
			return err
		}
		if a.Delete {
			ed.DeleteTransient(i, a.Name)
		} else {
			ed.SetTransient(i, a.Name, a.Value)
		}
		return nil
	})
}

// propose hands an entry to the cluster.
func (c *cluster) propose(e *command.Entry) error {
	if c.client == nil {
		return errNeedsCluster
	}
	_, err := c.client.Propose(c.ctx, e)
	return err
}

// waitFencing waits until a fencing of the node was a success that ended after known (milliseconds since 1970).
func (c *cluster) waitFencing(node string, known int64, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for after := c.state.Index; ; {
		s, err := c.client.Wait(ctx, after, time.Until(deadline))
		if ctx.Err() != nil {
			return coded(exitTimeout, "%s was not fenced in time; it is still wanted: see \"crm status\"", node)
		}
		if err != nil {
			return err
		}
		after = s.Index
		// A failed one is tried again by the cluster.
		if last := lastFencing(s, node); last != nil && last.OK && last.Ended > known {
			return nil
		}
	}
}

// editStatus changes the status section of the file that CIB_file names.
func (c *cluster) editStatus(edit func(doc *cib.Document, ed *cib.Editor) error) error {
	file, ok := c.backend.(*editor.File)
	if !ok {
		return errors.New("the status of a running cluster is changed by log entries only")
	}
	snap, err := file.Load(c.ctx)
	if err != nil {
		return err
	}
	ed := cib.NewEditor(snap.Doc)
	if err := edit(snap.Doc, ed); err != nil {
		return err
	}
	doc := *ed.Document()
	doc.Head.NumUpdates++
	return file.Replace(c.ctx, snap, &doc)
}

// replaceFile puts what edit makes of the document into the file that CIB_file names, when that is valid.
func (c *cluster) replaceFile(edit func(doc *cib.Document) (*cib.Document, error)) error {
	file, ok := c.backend.(*editor.File)
	if !ok {
		return errors.New("only a file is replaced as a whole")
	}
	snap, err := file.Load(c.ctx)
	if err != nil {
		return err
	}
	doc, err := edit(snap.Doc)
	if err != nil {
		return err
	}
	if err := editor.Check(snap.Doc, doc); err != nil {
		return err
	}
	if doc.Head.Epoch == snap.Doc.Head.Epoch {
		doc.Head.Epoch, doc.Head.NumUpdates = doc.Head.Epoch+1, 0
	}
	return file.Replace(c.ctx, snap, doc)
}

// nodeState is the index of a node's state in the status section.
func nodeState(doc *cib.Document, ed *cib.Editor, name string) (int, error) {
	for i := range doc.Status.Nodes {
		if strings.EqualFold(doc.Status.Nodes[i].Name, name) {
			return ed.Node(doc.Status.Nodes[i].Name, doc.Status.Nodes[i].ID), nil
		}
	}
	n, err := findNode(doc, name)
	if err != nil {
		return 0, err
	}
	return ed.Node(n.Name, n.ID), nil
}

// findNode returns the configured node of that name, ignoring case, or id.
func findNode(doc *cib.Document, name string) (*cib.Node, error) {
	for i := range doc.Config.Nodes {
		if n := &doc.Config.Nodes[i]; strings.EqualFold(n.Name, name) || n.ID == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("node %s: %w", name, errNotSet)
}

// change edits the configuration, again on the newest when somebody else changed it at the same time.
func (c *cluster) change(message string, edit func(doc *cib.Document) error) error {
	// A time of its own: a tool may have waited for the cluster before.
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_, err := editor.Change(ctx, c.backend, editor.Options{Message: message}, edit)
	return err
}

// toolVersion is the version of Pacemaker whose tools these are like; programs that drive them ask for it.
const toolVersion = "2.1.5"

// frame is the frame of a tool: it prints errors in the manner of the tools and knows --help and --version.
type frame struct {
	name string
	what string // one line
	io   IO
}

func (f *frame) fail(code int, format string, a ...any) int {
	fmt.Fprintf(f.io.Err, f.name+": "+format+"\n", a...)
	return code
}

// failed reports an error of the work itself and returns its exit code.
func (f *frame) failed(err error) int { return f.fail(exitCode(err), "%v", err) }

// showVersion prints the version in one line, of which agents take the second word.
func (f *frame) showVersion(features string) int {
	fmt.Fprintln(f.io.Out, strings.TrimSpace(fmt.Sprintf("Pacemaker %s (Quorate %s) %s", toolVersion, version.Version, features)))
	return exitOK
}

// parse reads the options; done says that the tool has ended with the code.
func (f *frame) parse(args []string, options []option) (rest []string, code int, done bool) {
	var help, ver bool
	verbose := func(string) error { return nil }
	options = append(options, option{short: 'V', long: "verbose", help: "accepted; messages are complete anyway", set: verbose},
		option{short: 'h', long: "help", help: "show this help", set: flag(&help)},
		option{long: "help-all", help: "the same as --help", set: flag(&help)},
		option{short: '?', help: "the same as --help", set: flag(&help)},
		option{short: '$', long: "version", help: "show the version", set: flag(&ver)})
	rest, err := parse(args, options)
	switch {
	case err != nil:
		return nil, f.fail(exitUsage, "%v; see %s --help", err, f.name), true
	case help:
		io.WriteString(f.io.Out, f.name+": "+f.what+"\n\nUsage: "+f.name+" [OPTION...]\n\n"+usage(options))
		return nil, exitOK, true
	case ver:
		return nil, f.showVersion(""), true
	}
	return rest, 0, false
}
