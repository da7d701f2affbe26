"""Error answers in the shape that each AWS service gives them."""

from __future__ import annotations

import json
import re
import uuid
from xml.sax.saxutils import escape

from calls import AwsCall, HttpResponse

_NAMESPACE = {
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
_XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")


def error_response(call: AwsCall, status: int, code: str, message: str) -> HttpResponse:
    """An error as the service of `call` would answer it."""
    request_id = str(uuid.uuid4())
    if call.is_json:
        body = json.dumps({"__type": code, "Message": message})
        content_type = "application/x-amz-json-1.1"
    else:
        fault = "Sender" if status < 500 else "Receiver"
        namespace = _NAMESPACE.get(call.service, _NAMESPACE["iam"])
        body = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type>'
            f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        content_type = "text/xml"
    headers = [("Content-Type", content_type), ("x-amzn-RequestId", request_id)]
    return HttpResponse(status, headers, body.encode())


def error_code(response: HttpResponse) -> str | None:
    """The AWS error code in an answer, None if the call went well."""
    if response.status < 400:
        return None
    if found := _XML_CODE.search(response.body):
        return found.group(1).decode()
    try:
        kind = json.loads(response.body)["__type"]
    except (ValueError, KeyError, TypeError):
        return "Unknown"
    return str(kind).rpartition("#")[2]
