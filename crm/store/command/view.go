package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/transition"
)

// PolicyDocument returns the document as a decision sees it: with the operations under way as pending
// history entries, and with leader as the deciding node ("" = none). The state is not changed.
func PolicyDocument(s *State, leader string) *cib.Document {
	ed := cib.NewEditor(s.Document)
	for i := range s.Pending {
		p := &s.Pending[i]
		if p.Resource == "" || p.Task == "cancel" || p.Task == "notify" {
			continue
		}
		name := historyNode(p)
		id, err := s.stateID(name)
		if err != nil {
			continue
		}
		n := ed.Node(name, id)
		h := ed.History(n, p.Resource, cib.ResourceHistory{ID: p.Resource, Class: p.Class, Provider: p.Provider, Type: p.Type})
		key := transitionKey(p)
		// An entry of its own, so that what is known from before the operation stays known.
		ed.Record(n, h, cib.HistoryOp{
			ID:  p.Resource + "_pending_" + p.Task + "_" + strconv.FormatInt(p.IntervalMS, 10),
			Key: p.Resource + "_" + p.Task + "_" + strconv.FormatInt(p.IntervalMS, 10), Operation: p.Task,
			Interval: p.IntervalMS, CallID: -1, RC: 193, Status: -1, OnNode: name,
			TransitionKey: key, TransitionMagic: fmt.Sprintf("-1:193;%s", key),
			LastRCChange: p.Since, LastRun: -1, FeatureSet: featureSet, Origin: "quorated",
			OpDigest:      transition.Digest(digestAttrs(p)),
			MigrateSource: p.Attributes["CRM_meta_migrate_source"], MigrateTarget: p.Attributes["CRM_meta_migrate_target"],
		})
	}
	d := *ed.Document()
	d.Head.HaveQuorum = "0"
	d.Head.DCUUID = ""
	if leader != "" {
		d.Head.HaveQuorum = "1"
		if m := s.Member(leader); m != nil {
			d.Head.DCUUID = NodeStateID(m.NodeID)
		}
	}
	return &d
}

// Public returns the state without what clients need not see: hashes of tokens, sealed secrets, and the content of
// older revisions, which At has; of that only whether it is kept.
func (s *State) Public() *State {
	p := *s
	p.Tokens = make([]Token, len(s.Tokens))
	for i, t := range s.Tokens {
		t.Hash = nil
		p.Tokens[i] = t
	}
	p.Changes = slices.Clone(s.Changes)
	kept := true
	for i := len(p.Changes) - 1; i >= 0; i-- {
		c := *p.Changes[i]
		c.Kept = kept
		kept = kept && len(c.Undo) > 0
		c.Undo = nil
		p.Changes[i] = &c
	}
	p.Secrets = make([]Secret, len(s.Secrets))
	for i, sec := range s.Secrets {
		sealed := make([]Sealed, len(sec.Sealed))
		for j := range sec.Sealed {
			sealed[j].Node = sec.Sealed[j].Node
		}
		sec.Sealed = sealed
		p.Secrets[i] = sec
	}
	return &p
}

// Configuration is what a client needs to propose a change of the configuration: the configuration with the revisions
// of its objects. The rest, which is most of a state, is left out.
func (s *State) Configuration() *State {
	doc := *s.Document
	doc.Status = cib.Status{}
	return &State{ClusterID: s.ClusterID, Name: s.Name, Feature: s.Feature, Index: s.Index, Term: s.Term, Document: &doc,
		Revision: s.Revision, Objects: s.Objects}
}

// Excerpt is Configuration reduced to what a change of one resource or node needs: the top-level resource that is or has
// resource, with the templates that it refers to, and the node of the name or id node. "" and unknown ones give nothing.
func (s *State) Excerpt(resource, node string) *State {
	full := &s.Document.Config
	wanted := map[string]bool{}
	for _, r := range full.Resources {
		cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r}}, func(x, _ *cib.Resource) {
			wanted[r.ID] = wanted[r.ID] || resource != "" && x.ID == resource
		})
	}
	var part cib.Configuration
	for known := -1; len(part.Resources) > known; { // until no further template is wanted
		known = len(part.Resources)
		part.Resources = nil
		for _, r := range full.Resources {
			if wanted[r.ID] {
				part.Resources = append(part.Resources, r)
			}
		}
		cib.EachReference(&part, func(ref cib.Reference) { wanted[ref.To] = wanted[ref.To] || ref.Target == cib.ToTemplate })
	}
	for _, n := range full.Nodes {
		if node != "" && (strings.EqualFold(n.Name, node) || n.ID == node) {
			part.Nodes = append(part.Nodes, n)
		}
	}
	out := s.Configuration()
	revisions := map[string]uint64{}
	out.Document.Config, out.Objects = part, RevisionsOf(revisions)
	cib.Objects(&part, func(kind, id string, _ cib.Object) {
		if key := cib.ObjectKey(kind, id); s.Objects.Of(key) > 0 {
			revisions[key] = s.Objects.Of(key)
		}
	})
	return out
}
