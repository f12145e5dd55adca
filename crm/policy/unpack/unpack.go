// Package unpack turns a cluster document into the working state of a decision: options, nodes and
// resources of the configuration, what the operation history says about them, constraints, tickets and
// shutdown locks (spec/01-inputs.md, spec/02-state.md; phases 1 to 5 of spec/03-assignment.md section 1).
//
// The package is pure: it reads the document and the effective time, and nothing else. The document is not
// changed. A document that contradicts itself is read as far as the rules allow; what was left out is named
// in model.Cluster.Messages. Nothing here panics on any document.
package unpack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// Options say how to read a document.
type Options struct {
	Now     time.Time // effective time; its zone is used for dates without offset
	Quorate *bool     // this partition has quorum; nil = as the document says
	Trace   model.Trace
	// StatusOnly leaves out what decisions need beyond the present state: health, constraints, tickets and
	// shutdown locks that would be made now.
	StatusOnly bool
	// Sanitized says that secrets may have been removed from the document (see model.Options).
	Sanitized bool
}

// featureSet is the newest feature set that is understood; documents of a newer one are refused
// (spec/01-inputs.md section 3).
const featureSet = "3.20.5"

// ErrNewerFeatureSet says that the document was written by a newer cluster than this program understands.
var ErrNewerFeatureSet = errors.New("feature set is newer than " + featureSet)

// Unpack reads doc. An error says why the document cannot be used at all.
func Unpack(doc *cib.Document, opts Options) (*model.Cluster, error) {
	if doc == nil {
		return nil, errors.New("no document to decide about")
	}
	if compareVersions(doc.Head.FeatureSet, featureSet) > 0 {
		return nil, fmt.Errorf("crm_feature_set %q: %w; use a newer program on this node", doc.Head.FeatureSet, ErrNewerFeatureSet)
	}
	// Old forms, such as <master> and several rules in a location, have their meaning in the present one only.
	doc, _ = cib.Upgrade(doc)
	doc = resolveReferences(doc)
	u := &unpacker{
		c:          model.New(doc, opts.Now),
		templates:  map[string]*cib.Resource{},
		expanded:   map[*cib.Resource]*cib.Resource{},
		ops:        map[*cib.Resource][]*model.Op{},
		target:     map[*model.Resource]model.Role{},
		failedSeen: map[failedKey]bool{},
	}
	u.c.Trace = opts.Trace
	u.options(opts.Quorate)
	u.c.Options.Sanitized = opts.Sanitized
	u.nodes()
	u.resources()
	u.tags()
	u.status()
	if !opts.StatusOnly {
		u.health()
		u.constraints()
		u.locks()
	}
	return u.c, nil
}

// unpacker is the work of one Unpack.
type unpacker struct {
	c *model.Cluster

	templates map[string]*cib.Resource
	expanded  map[*cib.Resource]*cib.Resource // configured resource -> with its template
	ops       map[*cib.Resource][]*model.Op   // operations of an expanded resource
	target    map[*model.Resource]model.Role  // explicit target roles

	guests []guest // guest nodes whose implicit connections are to be made

	stopContainers []deferredStop    // stops of bundle containers, made after all history was read
	locations      []*model.Location // oldest first
	failedSeen     map[failedKey]bool
	lookup         model.Lookup
	entries        entries // reused from one history to the next
	leftovers      []leftover
}

// errorf notes an error in the document; what it is about is left out.
func (u *unpacker) errorf(format string, args ...any) {
	u.c.Messages = append(u.c.Messages, model.Message{Error: true, Text: fmt.Sprintf(format, args...)})
}

// warnf notes something in the document that an administrator should look at.
func (u *unpacker) warnf(format string, args ...any) {
	u.c.Messages = append(u.c.Messages, model.Message{Text: fmt.Sprintf(format, args...)})
}

// compareVersions compares dotted numbers part by part; missing parts count as 0.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := values.Integer(x)
		n, _ := values.Integer(y)
		if m != n {
			if m < n {
				return -1
			}
			return 1
		}
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }
