package compat

import (
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/crm/rule/iso8601"
)

func parseDate(s string) (time.Time, error) { return iso8601.ParseDate(s, time.Now(), time.Local) }

// findRule returns the rule with the id; nil = there is none.
func findRule(doc *cib.Document, id string) *rule.Rule {
	var found *rule.Rule
	look := func(list []rule.Rule) {
		for i := range list {
			if list[i].ID == id {
				found = &list[i]
			}
		}
	}
	sets := func(list []cib.AttributeSet) {
		for i := range list {
			look(list[i].Rules)
		}
	}
	c := &doc.Config
	sets(c.Properties)
	sets(c.ResourceDefaults)
	sets(c.OpDefaults)
	for i := range c.Nodes {
		sets(c.Nodes[i].Attributes)
		sets(c.Nodes[i].Utilization)
	}
	for i := range c.Constraints {
		look(c.Constraints[i].Rules)
		look(c.Constraints[i].Lifetime)
	}
	cib.EachResource(c, func(r, _ *cib.Resource) {
		sets(r.Params)
		sets(r.Meta)
		sets(r.Utilization)
	})
	return found
}

// ruleState says whether a rule about dates is in effect, with the exit code of crm_rule.
func ruleState(r *rule.Rule, now time.Time) (string, error) {
	var date *rule.DateExpression
	for i := range r.Conditions {
		switch c := &r.Conditions[i]; {
		case c.Date == nil || date != nil:
			return "", coded(exitUnimplemented, "rule %s: only rules with exactly one date expression are checked", r.ID)
		default:
			date = c.Date
		}
	}
	if date == nil {
		return "", coded(exitUnimplemented, "rule %s: only rules with exactly one date expression are checked", r.ID)
	}
	res := rule.Evaluate(r, rule.Input{Now: now, Zone: time.Local})
	if len(res.Problems) > 0 {
		return "", coded(exitDataErr, "rule %s: %w", r.ID, res.Problems[0])
	}
	if res.Pass {
		return "is still in effect", nil
	}
	after := func(text string) bool {
		t, err := parseDate(text)
		return err == nil && !now.Before(t)
	}
	switch {
	case date.Operation == "lt", strings.HasPrefix(date.Operation, "in") && date.End != "" && after(date.End):
		return "is expired", &codeError{exitExpired, nil}
	case date.Operation == "gt", strings.HasPrefix(date.Operation, "in") && date.Start != "" && !after(date.Start):
		return "has not yet taken effect", &codeError{exitNotYet, nil}
	}
	return "is not in effect", &codeError{exitUnsatisfied, nil}
}
