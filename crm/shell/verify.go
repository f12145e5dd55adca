package shell

import (
	"context"
	"errors"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/verify"
)

func (s *Shell) cmdVerify(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	return s.report(verify.Problems(verify.Input{After: w.doc, Metadata: s.metadataOf(c.ctx)}))
}

// verify checks what a work area changes.
func (s *Shell) verify(ctx context.Context, w *workArea) error {
	return s.report(verify.Problems(verify.Input{Before: w.base.Doc, After: w.doc, Metadata: s.metadataOf(ctx)}))
}

// metadataOf asks for the metadata of agents in a context.
func (s *Shell) metadataOf(ctx context.Context) verify.Metadata {
	return func(agent string) (*agents.Metadata, error) { return s.metadata(ctx, agent) }
}

// report prints the warnings and returns the errors. Places in a text that the user does not see are left out.
func (s *Shell) report(problems []cib.Problem) error {
	var errs []error
	for _, p := range problems {
		p.Pos = cib.Pos{}
		if p.Severity == cib.Error {
			errs = append(errs, errors.New(p.String()))
		} else {
			s.warn("%s", p.String())
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &errorList{errs}
}
