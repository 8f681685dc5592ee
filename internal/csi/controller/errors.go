package controller

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/mgc"
)

// kinds of the cloud package's errors; the first that fits counts.
var kinds = []struct {
	err  error
	code codes.Code
}{
	{cloud.ErrNotFound, codes.NotFound},
	{cloud.ErrDiffers, codes.AlreadyExists},
	{cloud.ErrElsewhere, codes.FailedPrecondition},
	{cloud.ErrInUse, codes.FailedPrecondition},
	{cloud.ErrFull, codes.ResourceExhausted},
	{cloud.ErrFailed, codes.Internal},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
}

// translate gives an error of the cloud its gRPC code. What is not known to be the caller's fault is Unavailable or Internal, which
// sidecars repeat.
func translate(err error) error {
	if _, ok := status.FromError(err); ok { // also nil
		return err
	}
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return status.Error(kind.code, err.Error())
		}
	}
	var answer *mgc.Error
	if !errors.As(err, &answer) {
		if mgc.IsTransient(err) {
			return status.Errorf(codes.Unavailable, "the cloud cannot be reached: %v", err)
		}
		return status.Error(codes.Internal, err.Error())
	}
	message := "the cloud says: " + answer.Message
	if answer.RequestID != "" {
		message += " (request " + answer.RequestID + ")"
	}
	return status.Error(codeOf(answer), message)
}

func codeOf(answer *mgc.Error) codes.Code {
	switch {
	case mgc.IsTransient(answer):
		return codes.Unavailable
	case strings.Contains(answer.Slug, "quota"):
		return codes.ResourceExhausted
	case mgc.IsNotFound(answer):
		return codes.NotFound
	case mgc.IsConflict(answer):
		return codes.FailedPrecondition
	case mgc.IsInvalid(answer):
		return codes.InvalidArgument
	case mgc.IsUnauthorized(answer):
		return codes.PermissionDenied
	}
	return codes.Internal
}
