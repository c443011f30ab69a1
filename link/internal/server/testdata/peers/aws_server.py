"""S3 and SQS by the library moto, behind a check of every signature by the signer of botocore. It prints its port."""
import hashlib
import io
import re
from urllib.parse import quote, unquote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


class Verified:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(*([] if environ.get("wsgi.input_terminated") else [int(environ.get("CONTENT_LENGTH") or 0)]))
        environ["wsgi.input"] = io.BytesIO(body)
        fault = self.fault(environ, body)
        if fault:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [fault.encode()]
        return self.app(environ, start_response)

    def fault(self, environ, body):
        field = lambda name: environ.get(name.upper().replace("-", "_"), environ.get("HTTP_" + name.upper().replace("-", "_")))
        proof = re.match(r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d+/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$", field("authorization") or "")
        if not proof:
            return "not signed by fiso-link"
        region, service, names, signature = proof.groups()
        path, _, query = environ["REQUEST_URI"].partition("?")
        if service == "s3":
            path = quote(unquote(path), safe="/-_.~")  # as S3 does, however the path came
        headers = {name: field(name) for name in names.split(";")}
        request = AWSRequest(environ["REQUEST_METHOD"], f"http://{headers['host']}{path}?{query}", headers)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(KEYS, service, region)
        if signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request) != signature:
            return "SignatureDoesNotMatch: " + signer.canonical_request(request)
        sent = headers["x-amz-content-sha256"]
        if not re.fullmatch("[0-9a-f]{64}", sent):
            return "" if service == "s3" else "a body that is not signed"
        return "" if sent == hashlib.sha256(body).hexdigest() else "XAmzContentSHA256Mismatch"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


server = make_server("127.0.0.1", 0, Verified(DomainDispatcherApplication(create_backend_app)), threaded=True, request_handler=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
