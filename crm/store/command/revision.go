package command

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// maxRecorded bounds the objects that one change record names.
const maxRecorded = 100

// remember records a change of the configuration, with what takes it back. before is the document that it changed.
func (n *State) remember(before *cib.Document, e *Entry) error {
	rec := &ChangeRecord{Index: n.Index, Time: e.Time, Actor: e.Actor, Origin: e.Origin}
	var changes []cib.Change
	member := func(name, what string) {
		changes = []cib.Change{{Kind: cib.KindNode, ID: name}}
		if o, ok := cib.FindObject(&n.Document.Config, cib.KindNode, name); ok {
			changes[0].Object = &o
		}
		rec.Message = what
	}
	switch e.Kind {
	case KindConfig:
		changes, rec.Message = e.Config.Changes, e.Config.Message
	case KindBootstrap:
		// Nothing was before it.
		member(e.Bootstrap.First.Name, "the cluster was made")
	case KindMemberAdd:
		member(e.MemberAdd.Name, "node "+e.MemberAdd.Name+" joined")
	case KindMemberRemove:
		member(e.MemberRemove.Name, "node "+e.MemberRemove.Name+" was removed")
	default:
		return fmt.Errorf("internal error: entry of kind %d changes the configuration and is not recorded", e.Kind)
	}
	for i := range changes {
		if i == maxRecorded {
			rec.Objects = append(rec.Objects, fmt.Sprintf("and %d more", len(changes)-maxRecorded))
			break
		}
		rec.Objects = append(rec.Objects, changes[i].Key())
	}
	if e.Kind != KindBootstrap {
		undo, err := cib.Undo(before, changes)
		if err != nil {
			return err
		}
		if rec.Undo, err = EncodeChanges(undo); err != nil {
			return err
		}
	}
	n.Changes = boundUndo(appendBounded(n.Changes, rec, maxChanges))
	return nil
}

// boundUndo drops the oldest contents beyond maxUndo bytes. The list is the caller's own, the records are not.
func boundUndo(list []*ChangeRecord) []*ChangeRecord {
	total := 0
	for i := len(list) - 1; i >= 0; i-- {
		if total += len(list[i].Undo); total > maxUndo && list[i].Undo != nil {
			bare := *list[i]
			bare.Undo = nil
			list[i] = &bare
			total = maxUndo // what is older is of no use without this one
		}
	}
	return list
}

// kept reports whether the configuration after change i is known: all newer changes can be taken back.
func (s *State) kept(i int) bool {
	return !slices.ContainsFunc(s.Changes[i+1:], func(c *ChangeRecord) bool { return len(c.Undo) == 0 })
}

// RevisionError says that there is no configuration of a revision.
type RevisionError struct {
	Revision uint64
	Oldest   uint64 // the oldest that is kept; 0 = none is
	Known    bool   // there was such a revision, its content is not kept any more
}

// Error implements error.
func (e *RevisionError) Error() string {
	switch {
	case e.Oldest == 0:
		return fmt.Sprintf("there is no revision %d: nothing was changed yet", e.Revision)
	case e.Known:
		return fmt.Sprintf("the configuration of revision %d is not kept any more; the oldest kept is %d", e.Revision, e.Oldest)
	}
	return fmt.Sprintf("there is no revision %d; the oldest kept is %d", e.Revision, e.Oldest)
}

// At returns the configuration as it was right after the change with that index, without a status. An unknown
// revision gives a *RevisionError.
func (s *State) At(revision uint64) (*cib.Document, error) {
	at := slices.IndexFunc(s.Changes, func(c *ChangeRecord) bool { return c.Index == revision })
	if at < 0 || !s.kept(at) {
		e := &RevisionError{Revision: revision, Known: at >= 0}
		for i := len(s.Changes) - 1; i >= 0 && s.kept(i); i-- {
			e.Oldest = s.Changes[i].Index
		}
		return nil, e
	}
	doc := *s.Document
	doc.Status = cib.Status{}
	out := &doc
	for i := len(s.Changes) - 1; i > at; i-- {
		undo, err := DecodeChanges(s.Changes[i].Undo)
		if err != nil {
			return nil, fmt.Errorf("what takes revision %d back: %w", s.Changes[i].Index, err)
		}
		if out, err = cib.Apply(out, undo); err != nil {
			return nil, fmt.Errorf("take revision %d back: %w", s.Changes[i].Index, err)
		}
	}
	return out, nil
}

// EncodeDocument returns the wire form of a document.
func EncodeDocument(doc *cib.Document) ([]byte, error) {
	data, err := encMode.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return data, nil
}

// DecodeDocument reads the wire form of a document.
func DecodeDocument(data []byte) (*cib.Document, error) {
	doc := new(cib.Document)
	if err := decMode.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("decode document: %w", err)
	}
	return doc, nil
}

// EncodeChanges returns the wire form of changes. Equal changes give equal bytes.
func EncodeChanges(list []cib.Change) ([]byte, error) {
	data, err := encMode.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode changes: %w", err)
	}
	return data, nil
}

// DecodeChanges reads the wire form of changes.
func DecodeChanges(data []byte) ([]cib.Change, error) {
	var list []cib.Change
	if err := decMode.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("decode changes: %w", err)
	}
	return list, nil
}
