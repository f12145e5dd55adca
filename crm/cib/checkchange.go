package cib

import "slices"

// FirstError returns the first error that Check finds; nil = none.
func FirstError(doc *Document) *Problem {
	problems := Check(doc)
	for i := range problems {
		if problems[i].Severity == Error {
			return &problems[i]
		}
	}
	return nil
}

// ChangeError is FirstError of after, which is before with the changes made, for a before that has no errors.
//
// Changes that only put new values into objects that are there, with the same ids, references and structure, are judged by these
// objects alone: nothing that another object says can become wrong by them. Everything else is judged by the whole document.
// An error is always told in the words of Check, so that all who apply the same changes say the same.
func ChangeError(before, after *Document, changes []Change) *Problem {
	if valuesOnly(before, after, changes) {
		return nil
	}
	return FirstError(after)
}

// valuesOnly reports whether the changes are of the kind that concerns nothing but the changed objects, and leave each of
// them without an error.
func valuesOnly(before, after *Document, changes []Change) bool {
	places, ok := replaced(&before.Config, changes)
	if !ok {
		return false
	}
	for i := range changes {
		s := sectionOf(changes[i].Kind)
		old, new := s.object(&before.Config, places[i]), s.object(&after.Config, places[i])
		if !sameFrame(&old, &new) || !faultless(s, &new, &after.Config) {
			return false
		}
	}
	return true
}

// sameFrame reports whether two values of an object are one to all other objects: they define the same ids, refer to the
// same ids, and have the same structure.
func sameFrame(a, b *Object) bool {
	switch {
	case a.Set != nil, a.Level != nil, a.Tag != nil, a.Role != nil, a.User != nil, a.Target != nil, a.Alert != nil:
	case a.Node != nil:
		if a.Node.Name != b.Node.Name || a.Node.ID != b.Node.ID || a.Node.Type != b.Node.Type || a.Node.Witness != b.Node.Witness {
			return false
		}
	case a.Resource != nil:
		if !sameStructure(a.Resource, b.Resource, 0) {
			return false
		}
	case a.Constraint != nil:
		// Whether colocations can be met together depends on their scores.
		if a.Constraint.Kind == Colocation || a.Constraint.Kind != b.Constraint.Kind {
			return false
		}
	default:
		return false
	}
	return slices.Equal(names(a), names(b))
}

// sameStructure reports whether two resources consist of the same ones, in what others may count on.
func sameStructure(a, b *Resource, depth int) bool {
	if depth > maxNesting || a.ID != b.ID || a.Kind != b.Kind || a.Template != b.Template || a.Class != b.Class || a.Provider != b.Provider ||
		a.Type != b.Type || len(a.Members) != len(b.Members) {
		return false
	}
	for _, name := range [...]string{"remote-node", "collocated"} {
		x, hasX := lookup(a.Meta, name)
		if y, hasY := lookup(b.Meta, name); x != y || hasX != hasY {
			return false
		}
	}
	for i := range a.Members {
		if !sameStructure(a.Members[i], b.Members[i], depth+1) {
			return false
		}
	}
	return true
}

// name is an id that an object defines, or one that it refers to.
type name struct {
	id, what  string
	reference bool
	target    Target
}

func names(o *Object) (list []name) {
	var part Configuration
	part.hold(o)
	EachID(&part, func(id, what string, _ Pos) { list = append(list, name{id: id, what: what}) })
	v := referenceVisitor{visit: func(r Reference) { list = append(list, name{id: r.To, reference: true, target: r.Target}) }}
	v.object(o)
	return list
}

// hold makes c a configuration of one object.
func (c *Configuration) hold(o *Object) {
	for i := range sections {
		if sections[i].has(o) && sections[i].count != nil {
			sections[i].put(c, []Object{*o}) // of several kinds with the same type any will do: they are checked alike
			return
		}
	}
}

// faultless reports whether an object has no error that can be seen on it and on the settings of the cluster.
func faultless(s *section, o *Object, c *Configuration) bool {
	doc := &Document{Config: Configuration{Cluster: c.Cluster}}
	s.put(&doc.Config, []Object{*o})
	k := checker{doc: doc, c: &doc.Config, known: map[string]string{}}
	k.ids()
	k.objects()
	return k.count[Error] == 0
}
