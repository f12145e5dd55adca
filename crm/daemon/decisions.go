package daemon

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/version"
)

// Bounds of what is kept of decisions.
const (
	maxDecisions     = 1000      // files, and decisions that the API tells of
	maxDecisionBytes = 256 << 20 // of all files together
	minFreeBytes     = 512 << 20 // on the disk: the raft log, which must not run out of room, is there too
	maxChangesShown  = 200       // lines of the summary that are kept
	maxChangeBytes   = 30 << 10  // of these lines together
	maxDecisionXML   = 512 << 20 // of one document when it is read back
	decisionQueue    = 16        // decisions that wait to be written; each holds on to its document
)

// How long decisions are gathered before they are written. One that found nothing to do waits longer, and is not kept when the
// next one comes in that time: a burst of changes would otherwise cost a file each.
const (
	decisionPause = 100 * time.Millisecond
	idlePause     = time.Second
)

// decisions keeps what the node decided as leader: all of it in memory, bounded, and the inputs in files.
//
// A file is named TERM.TRANSITION.xml.gz (with an f behind TRANSITION when the policy failed). It is the document as
// Pacemaker's XML with the time of the decision as execution-date, so that "zcat FILE | crm_simulate -p -S" works on it,
// compressed by gzip. The header of gzip has an extra field with one subfield, identified by "QR" (RFC 1952, 2.3.1.1):
// the api.Decision as JSON. Files are written whole under another name first and not synced: losing one with the power is
// no harm, and a damaged one is noticed by gzip's checksum.
//
// Nothing here may hold up or end the node: errors are logged, once until something works again.
type decisions struct {
	dir  string
	node string
	log  hclog.Logger
	free func() uint64 // bytes on the disk that may be used

	mu      sync.Mutex     // guards what follows
	list    []api.Decision // oldest first
	sizes   map[string]int64
	queue   []decisionInput
	dropped int // because the queue was full
	failing bool
	wake    chan struct{}
}

// decisionInput is a decision that waits to be written.
type decisionInput struct {
	decision api.Decision
	document *cib.Document
}

// idle reports whether the decision found nothing to do.
func (in *decisionInput) idle() bool { return in.decision.Actions == 0 && in.decision.Error == "" }

// openDecisions reads what is there. A folder that cannot be used is logged, and then nothing is kept on disk.
func openDecisions(dir, node string, log hclog.Logger) *decisions {
	d := &decisions{dir: dir, node: node, log: log.Named("decisions"), sizes: make(map[string]int64), wake: make(chan struct{}, 1)}
	d.free = func() uint64 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			return 0
		}
		return st.Bavail * uint64(st.Bsize)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.trouble("make the folder", err)
		return d
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.trouble("read the folder", err)
		return d
	}
	for _, e := range entries {
		d.adopt(e)
	}
	slices.SortStableFunc(d.list, byTime)
	d.prune()
	return d
}

func byTime(a, b api.Decision) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Term, b.Term), cmp.Compare(a.Transition, b.Transition))
}

const decisionSuffix = ".xml.gz"

// adopt takes a file of an earlier run. What cannot be read is removed: it was not finished.
func (d *decisions) adopt(e os.DirEntry) {
	name := filepath.Join(d.dir, e.Name())
	id, ok := strings.CutSuffix(e.Name(), decisionSuffix)
	info, err := e.Info()
	var dec api.Decision
	if ok && err == nil && info.Mode().IsRegular() {
		dec, err = decisionHeader(name)
	}
	if !ok || err != nil || dec.ID != id {
		if err := os.Remove(name); err != nil {
			d.trouble("remove a file that is no decision", err)
		}
		return
	}
	dec.Kept = true
	d.list = append(d.list, dec)
	d.sizes[id] = info.Size()
}

// decisionHeader reads what a file says about itself.
func decisionHeader(name string) (api.Decision, error) {
	f, err := os.Open(name)
	if err != nil {
		return api.Decision{}, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return api.Decision{}, fmt.Errorf("%s: %w", name, err)
	}
	return decodeDecision(z.Extra)
}

// decodeDecision reads the extra field of a file.
func decodeDecision(extra []byte) (d api.Decision, err error) {
	for len(extra) >= 4 {
		n := int(binary.LittleEndian.Uint16(extra[2:]))
		if len(extra) < 4+n {
			break
		}
		if extra[0] == 'Q' && extra[1] == 'R' {
			if err := json.Unmarshal(extra[4:4+n], &d); err != nil {
				return d, fmt.Errorf("the header is damaged: %w", err)
			}
			return d, nil
		}
		extra = extra[4+n:]
	}
	return d, errors.New("the header is missing")
}

func encodeDecision(d api.Decision) ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(data) > 0xFFFF-4 { // characters that JSON has to escape; the rest fits
		d.Changes, d.Error = nil, strings.Map(printable, d.Error)
		if data, err = json.Marshal(d); err != nil {
			return nil, err
		}
	}
	if len(data) > 0xFFFF-4 {
		return nil, fmt.Errorf("the header has %d bytes, at most %d fit", len(data), 0xFFFF-4)
	}
	extra := []byte{'Q', 'R', 0, 0}
	binary.LittleEndian.PutUint16(extra[2:], uint16(len(data)))
	return append(extra, data...), nil
}

// printable replaces what JSON escapes.
func printable(r rune) rune {
	if r < ' ' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029' || r == '\uFFFD' {
		return '?'
	}
	return r
}

// add takes a decision. It does not block.
func (d *decisions) add(r *controller.DecisionRecord) {
	dec := api.Decision{
		ID: fmt.Sprintf("%d.%d", r.Term, r.Transition), Node: d.node, Term: r.Term, Transition: r.Transition, Index: r.Index,
		Time: r.Now.UTC(), Quorate: r.Quorate, Actions: r.Actions, Changes: shorten(r.Changes), Error: r.Err, Version: version.Version,
	}
	if r.Err != "" {
		dec.ID += "f"
		dec.Error = r.Err[:min(len(r.Err), maxChangeBytes/4)]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = slices.DeleteFunc(d.list, func(x api.Decision) bool { return x.ID == dec.ID })
	d.list = append(d.list, dec)
	if n := len(d.queue); n > 0 && d.queue[n-1].idle() {
		d.queue = slices.Delete(d.queue, n-1, n)
	} else if n == decisionQueue {
		d.queue = slices.Delete(d.queue, 0, 1)
		d.dropped++
	}
	d.queue = append(d.queue, decisionInput{dec, r.Document})
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// shorten bounds the lines that are kept of a summary.
func shorten(changes []string) []string {
	size := 0
	for i, line := range changes {
		size += len(line)
		if i == maxChangesShown || size > maxChangeBytes {
			return append(slices.Clone(changes[:i]), fmt.Sprintf("and %d more", len(changes)-i))
		}
	}
	return changes
}

// Run writes decisions until ctx ends, then what is left.
func (d *decisions) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			d.write()
			return
		case <-d.wake:
		}
		d.gather(ctx)
		d.write()
	}
}

// gather waits until what is in the queue is to be written, or ctx ends.
func (d *decisions) gather(ctx context.Context) {
	idle := time.NewTimer(idlePause)
	defer idle.Stop()
	for d.idle() {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			return
		case <-d.wake:
		}
	}
	pause := time.NewTimer(decisionPause)
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

// idle reports whether all that waits to be written found nothing to do.
func (d *decisions) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.queue, func(in decisionInput) bool { return !in.idle() })
}

// write writes what waits.
func (d *decisions) write() {
	d.mu.Lock()
	queue, dropped := slices.Clone(d.queue), d.dropped // what is being written can be asked for all the same
	d.dropped = 0
	d.mu.Unlock()
	if dropped > 0 {
		d.log.Warn("decisions came faster than they can be kept", "count", dropped)
	}
	for i := range queue {
		in := &queue[i]
		if d.free() < minFreeBytes {
			d.trouble("keep a decision", fmt.Errorf("less than %d MiB are free on the disk", minFreeBytes>>20))
			break
		}
		size, err := d.writeFile(in)
		if err != nil {
			d.trouble("keep a decision", err)
			continue
		}
		d.mu.Lock()
		d.failing = false
		for j := range d.list {
			if d.list[j].ID == in.decision.ID {
				d.list[j].Kept = true
			}
		}
		d.sizes[in.decision.ID] = size
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = slices.DeleteFunc(d.queue, func(x decisionInput) bool {
		return slices.ContainsFunc(queue, func(y decisionInput) bool { return x.decision.ID == y.decision.ID })
	})
	d.prune()
}

// prune removes the oldest until the bounds are kept. d.mu is held, or nobody else knows d yet.
func (d *decisions) prune() {
	total := int64(0)
	for _, size := range d.sizes {
		total += size
	}
	drop := max(0, len(d.list)-maxDecisions)
	for i := range d.list {
		dec := &d.list[i]
		if i >= drop && total <= maxDecisionBytes {
			break
		}
		size, kept := d.sizes[dec.ID]
		if !kept {
			continue
		}
		if err := os.Remove(d.file(dec.ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			d.log.Warn("remove an old decision", "error", err)
		}
		delete(d.sizes, dec.ID)
		dec.Kept = false
		total -= size
	}
	d.list = slices.Delete(d.list, 0, drop)
}

func (d *decisions) file(id string) string { return filepath.Join(d.dir, id+decisionSuffix) }

func (d *decisions) writeFile(in *decisionInput) (size int64, err error) {
	extra, err := encodeDecision(in.decision)
	if err != nil {
		return 0, err
	}
	data, err := decisionXML(in)
	if err != nil {
		return 0, err
	}
	name := d.file(in.decision.ID)
	temporary := name + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(temporary, name)
		}
		if err != nil {
			os.Remove(temporary)
		}
	}()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	z.Extra = extra
	if _, err = z.Write(data); err != nil {
		return 0, err
	}
	if err = z.Close(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// decisionXML is the document of a decision. A document that the policy could not take may be one that cannot be
// written either.
func decisionXML(in *decisionInput) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write the document: %v", p)
		}
	}()
	doc := *in.document
	doc.Head.ExecutionDate = strconv.FormatInt(in.decision.Time.Unix(), 10)
	return cibxml.Write(&doc, cibxml.Options{Plain: true}), nil
}

// trouble logs an error, once until something works again.
func (d *decisions) trouble(what string, err error) {
	d.mu.Lock()
	said := d.failing
	d.failing = true
	d.mu.Unlock()
	if !said {
		d.log.Warn("decisions cannot be kept for crm explain --at", "tried", what, "error", err)
	}
}

// newest lists decisions, newest first, at most most of them (0 = all).
func (d *decisions) newest(most int) []api.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := slices.Clone(d.list)
	slices.Reverse(out)
	if most > 0 && most < len(out) {
		out = out[:most]
	}
	return out
}

// input reads what a decision was made from.
func (d *decisions) input(id string) (*api.DecisionInput, error) {
	d.mu.Lock()
	at := slices.IndexFunc(d.list, func(x api.Decision) bool { return x.ID == id })
	var dec api.Decision
	var waiting *decisionInput
	if at >= 0 {
		dec = d.list[at]
		for i := range d.queue {
			if d.queue[i].decision.ID == id {
				waiting = &decisionInput{dec, d.queue[i].document}
			}
		}
	}
	d.mu.Unlock()
	switch {
	case at < 0:
		return nil, &server.NotFoundError{Message: fmt.Sprintf("node %s knows of no decision %s", d.node, id),
			Hint: `"crm history decisions" lists those of this node; others are on the node that led then`}
	case waiting != nil:
		data, err := decisionXML(waiting)
		return &api.DecisionInput{Decision: dec, Document: data}, err
	case !dec.Kept:
		return nil, &server.NotFoundError{Message: fmt.Sprintf("the input of decision %s is not kept any more", id),
			Hint: `"crm history decisions" marks those that are`}
	}
	f, err := os.Open(d.file(id))
	if err != nil {
		return nil, fmt.Errorf("read decision %s: %w", id, err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("read decision %s: %w", id, err)
	}
	data, err := io.ReadAll(io.LimitReader(z, maxDecisionXML+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read decision %s: %w", id, err)
	case len(data) > maxDecisionXML:
		return nil, fmt.Errorf("decision %s has more than %d bytes", id, maxDecisionXML)
	}
	return &api.DecisionInput{Decision: dec, Document: data}, nil
}
