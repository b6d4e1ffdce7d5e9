import os


def handler(event, context):
    """Greets by name. The event is the JSON of a call, or an HTTP request with ?name=..."""
    query = event.get("queryStringParameters") or {}
    name = query.get("name") or event["name"]
    print("greeting", name)
    return {"greeting": f"{os.environ.get('GREETING', 'Hello')}, {name}!"}
