/// <reference path="../../node_modules/webdnn-v1/dist/webdnn.d.ts" />
/**
 * Holds `webdnn/classic` against the declarations of npm's `webdnn` 1.x, which name global modules; so this file is a
 * program of its own (tsconfig.v1.json). It compiles if what old programs say means the same now.
 *
 * Not matched:
 * - `GraphDescriptor`: describes files that are no longer written.
 * - What the declarations mark as protected. Of a runner: the steps of `load` (`init`, `fetchDescriptor`, `fetchParameters`,
 *   `restoreCachedDescriptor`, `restoreCachedParameters`, `saveCache`, `setDescriptorAndParameters`), which are over when a program
 *   gets it. Of a view: `_length`, `_byteOffset`, `_buffer`, `name`, `isDynamic`.
 */
import type * as Old from "webdnn";
import type * as New from "../../src/classic/index.js";

/** Compiles only if a program that is given a `New` where it expects an `Old` can go on. */
type Given<O, N extends O> = [O, N];
/** Compiles only if an `Old` can be handed over where a `New` is expected. */
type Taken<O extends N, N> = [O, N];
/** Compiles only if there is none. */
type Nothing<T extends never> = T;

type OldRunner = Old.DescriptorRunner;
type OldView = OldRunner["inputs"][number];

type Protected = {
  runner:
    | "init"
    | "fetchDescriptor"
    | "fetchParameters"
    | "restoreCachedDescriptor"
    | "restoreCachedParameters"
    | "saveCache"
    | "setDescriptorAndParameters";
  view: "_length" | "_byteOffset" | "name" | "isDynamic";
};

type NewView = New.SymbolicFloat32Array;
/** They give the view. */
type Chained = "copyWithin" | "fill" | "sort";
type GivesView<M extends Chained> = (...given: Parameters<OldView[M]>) => NewView;

/** What has views in it, to be compared with them left out: they are compared by themselves. */
type OfViews = "inputs" | "outputs" | "getInputViews" | "getOutputViews";

export type Checks = [
  // All that is exported as a value.
  Nothing<Exclude<keyof typeof Old, keyof typeof New>>,
  Nothing<Exclude<keyof typeof Old.Image, keyof typeof New.Image>>,
  Nothing<Exclude<keyof typeof Old.Math, keyof typeof New.Math>>,
  Given<typeof Old.Image, typeof New.Image>,
  Given<typeof Old.Math, typeof New.Math>,
  Given<typeof Old.getConfiguration, typeof New.getConfiguration>,
  Given<typeof Old.setConfiguration, typeof New.setConfiguration>,
  Given<typeof Old.getBackendAvailability, typeof New.getBackendAvailability>,
  Given<
    (...given: Parameters<typeof Old.load>) => Promise<unknown>,
    (...given: Parameters<typeof New.load>) => Promise<unknown>
  >,
  Given<New.DescriptorRunner, Awaited<ReturnType<typeof New.load>>>,
  // Types, from the side on which a program has them.
  Given<Old.BackendName, New.BackendName>,
  Taken<Old.BackendName, New.BackendName>,
  Given<Old.BackendAvailability, New.BackendAvailability>,
  Taken<Old.InitOption, New.InitOption>,
  Given<Old.InitOption, New.InitOption>,
  Taken<Old.Image.ImageArrayOption, New.Image.ImageArrayOption>,
  Taken<Old.Image.Drawable, New.Image.Drawable>,
  Taken<Old.Image.ImageSource, New.Image.ImageSource>,
  Taken<Old.Image.Color, New.Image.Color>,
  Taken<Old.Image.Order, New.Image.Order>,
  // The runner and its views. (`keyof` leaves out what is private or protected by TypeScript itself.)
  Given<Omit<OldRunner, Protected["runner"] | OfViews>, New.DescriptorRunner>,
  Nothing<Exclude<OfViews, keyof New.DescriptorRunner>>,
  Given<Omit<OldView, Protected["view"] | Chained>, NewView>,
  Given<GivesView<"copyWithin">, NewView["copyWithin"]>,
  Given<GivesView<"fill">, NewView["fill"]>,
  Given<GivesView<"sort">, NewView["sort"]>,
  Given<NewView[], New.DescriptorRunner["inputs"]>,
  Given<NewView[], New.DescriptorRunner["outputs"]>,
  Given<() => NewView[], New.DescriptorRunner["getInputViews"]>,
  Given<() => NewView[], New.DescriptorRunner["getOutputViews"]>,
  // What takes an array takes a view.
  Given<Float32Array, NewView>,
];
