package controller

import (
	"time"

	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
)

// ByHand returns the operation that an administrator asks for, as a dispatch would hand it to the node; the error, often a
// *policy.HandError, says why it must not be run. Nothing is dispatched: the operation is no part of a transition, and its
// result no part of the history. leader is the name of the deciding node.
func ByHand(s *command.State, leader string, req policy.HandRequest, now time.Time) (command.Pending, error) {
	a, err := policy.Hand(policy.Input{Document: command.PolicyDocument(s, leader), Now: now, Quorate: true}, req)
	if err != nil {
		return command.Pending{}, err
	}
	return pendingOf(a), nil
}

// LeftAlone returns a *policy.HandError if the cluster manages a resource.
func LeftAlone(s *command.State, leader, resource string, now time.Time) error {
	return policy.LeftAlone(policy.Input{Document: command.PolicyDocument(s, leader), Now: now, Quorate: true}, resource)
}
