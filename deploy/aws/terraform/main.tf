# The role that the operator assumes in a target account: apply it in each.

data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.operator_role_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role" "operator" {
  name               = var.role_name
  description        = "Assumed by port-aws-operator, to keep Port's OIDC provider and the roles that trust it."
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "operator" {
  name = "keep-port-access"
  role = aws_iam_role.operator.id

  # Written by `port-aws-operator policies`.
  policy = templatefile("${path.module}/target-policy.json.tftpl", {
    account_id = data.aws_caller_identity.current.account_id
  })
}
