variable "operator_role_arn" {
  description = "ARN of the IAM role that the operator runs as (IRSA or Pod Identity)."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/.+$", var.operator_role_arn))
    error_message = "operator_role_arn must be the ARN of an IAM role."
  }
}

variable "external_id" {
  description = "The external ID in the PortAwsAccess (assumeRole.externalId)."
  type        = string

  validation {
    condition     = length(var.external_id) >= 2 && length(var.external_id) <= 1224
    error_message = "external_id must have 2 to 1,224 characters."
  }
}

variable "role_name" {
  description = "The role name in the PortAwsAccess (assumeRole.roleName)."
  type        = string
  default     = "PortAwsOperator"
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}
