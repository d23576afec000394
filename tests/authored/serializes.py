"""A class of its own, by encoders and decoders of its own, and by `to_json`."""

import json

from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder


class Walk:
    def __init__(self, steps):
        self.steps = steps

    def to_json(self):
        return json.dumps({"steps": self.steps})

    @classmethod
    def from_json(cls, text):
        return cls(**json.loads(text))


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


class PointEncoder(RuntimeEncoder):
    def default(self, obj):
        if isinstance(obj, Point):
            return {"__type__": "point", "__value__": [obj.x, obj.y]}
        return super().default(obj)


class PointDecoder(RuntimeDecoder):
    def object_hook(self, obj):
        if obj.get("__type__") == "point":
            return Point(*obj["__value__"])
        return super().object_hook(obj)


class Program:
    def __init__(self, backend, user_messenger):
        self.backend, self.user_messenger = backend, user_messenger

    def run(self, walk, start):
        point = json.loads(json.dumps(start), cls=PointDecoder)
        for step in Walk.from_json(walk).steps:
            point = Point(point.x + step[0], point.y + step[1])
            self.user_messenger.publish({"at": point, "z": 1j}, encoder=PointEncoder)
        return Walk([[point.x, point.y]])


def main(backend, user_messenger, **kwargs):
    return Program(backend, user_messenger).run(**kwargs)
