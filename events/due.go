package events

import "strconv"

// TypeDue is the CloudEvents type of Due.
const TypeDue = "dev.almanac.due.v1"

// Steps that can be due.
const (
	StepCollect   = "collect"
	StepAggregate = "aggregate"
	StepDeliver   = "deliver"
)

// Due asks for a piece of work. It is a hint: the handler looks at the facts before it does anything.
type Due struct {
	Piece

	Step    string `json:"step"`
	Attempt int    `json:"attempt"`          // never enters the identity of data
	Try     int    `json:"try,omitempty"`    // of an aggregate or release: how often it was asked for with these inputs; 0 counts as 1
	Reason  string `json:"reason,omitempty"` // schedule, restated, contract, quarantine, late, requested, inputs
	Detail  string `json:"detail,omitempty"` // what a person reads: the cause
	// Inputs is the signature of the inputs that an aggregate or release is due for.
	Inputs string `json:"inputs,omitempty"`
}

// Type is the CloudEvents type of every due, whatever its step.
func (Due) Type() string { return TypeDue }

// Topic keeps the latest due of each piece of the step.
func (d Due) Topic() string { return DueTopicPrefix + d.Step }

// ID differs between attempts and between inputs, so that asking again is not taken for a repeat.
func (d Due) ID() string { return id("due."+d.Step, d.Piece, d.Inputs, strconv.Itoa(d.Attempt)) }
