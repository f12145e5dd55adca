package editor

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Live is the cluster of this node.
type Live struct{ Client *client.Client }

var _ Backend = (*Live)(nil)

// promptTime bounds what a prompt waits for.
const promptTime = 300 * time.Millisecond

// Name implements Backend.
func (b *Live) Name(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, promptTime)
	defer cancel()
	l, err := b.Client.Local(ctx)
	if err != nil {
		return "offline"
	}
	if l.Node == "" {
		return "live"
	}
	return "live/" + l.Node
}

// Load implements Backend.
func (b *Live) Load(ctx context.Context) (*Snapshot, error) { return b.Fetch(ctx, false) }

// Fetch is Load, or with stale what this node has without asking the leader.
func (b *Live) Fetch(ctx context.Context, stale bool) (*Snapshot, error) {
	st, err := b.Client.State(ctx, stale)
	if err != nil {
		return nil, err
	}
	if st.Document == nil {
		return nil, ErrNoCluster
	}
	return &Snapshot{Doc: st.Document, State: st}, nil
}

// configuration implements Backend: quick is what this node has without asking the leader.
func (b *Live) configuration(ctx context.Context, scope client.Scope, quick bool) (*Snapshot, error) {
	if !quick {
		scope = client.Scope{}
	}
	st, err := b.Client.Configuration(ctx, scope, quick)
	if err != nil {
		return nil, err
	}
	if st.ClusterID == "" {
		return nil, ErrNoCluster
	}
	return &Snapshot{Doc: st.Document, State: st, old: quick}, nil
}

// Commit implements Backend.
func (b *Live) Commit(ctx context.Context, base *Snapshot, changes []cib.Change, opts Options) error {
	now, original := base, changes
	for try := 0; ; try++ {
		_, err := b.Client.Propose(ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{
			Changes: changes, Based: based(now, changes), Message: opts.Message, Force: opts.Force}})
		var e *client.Error
		if err == nil || !errors.As(err, &e) || e.Reply.Code != api.CodeConflict || try >= maxTries {
			return err
		}
		// Somebody changed an object that we touch or rely on. What does not overlap is merged.
		if now, err = b.Load(ctx); err != nil {
			return err
		}
		merged, both := Merge(base.Doc, now.Doc, original)
		if len(both) > 0 {
			return &ConflictError{both}
		}
		if changes = merged; len(changes) == 0 {
			return nil
		}
		doc, err := cib.Apply(now.Doc, changes)
		if err != nil {
			return err
		}
		var invalid *InvalidError
		if errors.As(Check(now.Doc, doc), &invalid) {
			invalid.Merged = true
			return invalid
		}
	}
}

// based lists the revisions of the objects that the changes touch and refer to.
func based(s *Snapshot, changes []cib.Change) map[string]uint64 {
	out := make(map[string]uint64, len(changes))
	for i := range changes {
		out[changes[i].Key()] = s.State.Objects.Of(changes[i].Key())
	}
	doc, err := cib.Apply(s.Doc, changes)
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
				out[key] = s.State.Objects.Of(key)
			}
		}
	})
	return out
}
